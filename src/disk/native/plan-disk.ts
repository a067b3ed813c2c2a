import { digestOf } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import { parseOsRelease } from '../../distro/os-release.ts';
import { followPath } from '../../oci/image.ts';
import type { SpooledTree } from '../../oci/spool.ts';
import { ConverterRefusal, type DiskRequest } from '../types.ts';
import { checksumOfFiles, textOf } from './contents.ts';
import { findKernel, imageKargs, type Kernel, KARGS_FOLDER } from './kernel.ts';
import { type DiskIds, diskIds, type DiskLayout, layOutDisk } from './partitions.ts';
import { type DeployableRoot, deployableRoot } from './root.ts';
import { kernelArguments, OS_RELEASE, rootHome } from './sysroot.ts';
import type { SysrootParts } from './sysroot-entries.ts';

/** All that is decided about a disk before it is written. */
export interface DiskPlan {
  readonly spooled: SpooledTree;
  readonly root: DeployableRoot;
  readonly kernel: Kernel;
  /** sha256 in hex of kernel and initramfs. */
  readonly bootChecksum: string;
  readonly layout: DiskLayout;
  readonly ids: DiskIds;
  readonly title: string;
  /** The kernel's command line. */
  readonly options: string;
  /** Seconds since the epoch: the only time that is on the disk. */
  readonly created: number;
  readonly state: SysrootParts['state'];
}

const BLOCK = 4096;

/**
 * @throws ConverterRefusal `image-wants-selinux`, KvciError `no-kernel`, `several-kernels`, `no-initramfs`, `bad-kargs-file`, `image-not-deployable`, `disk-too-small`,
 *   `root-home-read-only`
 */
export function planDisk(request: DiskRequest, spooled: SpooledTree): DiskPlan {
  const { source, size, kargs, sshKeys } = request;
  refusePolicy(spooled);
  const kernel = findKernel(spooled.tree);
  const root = deployableRoot(spooled.tree);
  const bootChecksum = checksumOfFiles(spooled, [kernel.vmlinuz, kernel.initramfs]);
  const ids = diskIds(digestOf({ image: source.image.descriptor.digest, size, kargs, sshKeys }));
  const release = followPath(spooled.tree, OS_RELEASE);
  const asked = imageKargs(kargsFiles(spooled), source.architecture);
  return {
    spooled,
    root,
    kernel,
    bootChecksum,
    layout: layOutDisk(size, contentSize(root)),
    ids,
    title: parseOsRelease(release === undefined ? '' : textOf(spooled, release)).title,
    options: kernelArguments(ids.filesystem, bootChecksum, [...asked, ...kargs]),
    created: createdAt(request),
    state: sshKeys.length === 0 ? new Map() : authorizedKeys(rootHome(spooled.tree), sshKeys),
  };
}

/** Files without labels are read by nothing where a policy is enforced. */
function refusePolicy({ tree, place }: SpooledTree): void {
  const config = followPath(tree, 'etc/selinux/config');
  if (config?.type !== 'file' || !/^SELINUX=(enforcing|permissive)\s*$/m.test(textOf({ place }, config))) return;
  throw new ConverterRefusal(
    new KvciError('failed', 'image-wants-selinux', 'the image has a policy of SELinux, whose labels the native converter does not make', {
      hint: 'Take --converter bootc-image-builder.',
    }),
  );
}

/** A file counts once, whatever its links. */
function contentSize({ committed, state }: DeployableRoot): number {
  return [...committed.values(), ...state.values()].reduce(
    (sum, { type, path, links, size }) => (type === 'file' && links[0] === path ? sum + Math.ceil(size / BLOCK) * BLOCK : sum),
    0,
  );
}

function kargsFiles({ tree, place }: SpooledTree): ReadonlyMap<string, string> {
  const files = [...tree.nodes].filter(
    ([path, { type }]) => type === 'file' && path.startsWith(`${KARGS_FOLDER}/`) && path.endsWith('.toml'),
  );
  return new Map(files.map(([path, node]) => [path, textOf({ place }, node)]));
}

function createdAt({ source }: DiskRequest): number {
  const created = Date.parse(source.image.config.created ?? '') / 1000;
  return Number.isFinite(created) && created > 0 ? Math.floor(created) : 1;
}

function authorizedKeys(home: string, keys: readonly string[]): SysrootParts['state'] {
  return new Map([
    [home, { mode: 0o700 }],
    [`${home}/.ssh`, { mode: 0o700 }],
    [`${home}/.ssh/authorized_keys`, { mode: 0o600, text: keys.map((key) => `${key}\n`).join('') }],
  ]);
}
