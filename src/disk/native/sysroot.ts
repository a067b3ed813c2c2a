import { posix } from 'node:path';

import { KvciError } from '../../core/errors.ts';
import { renderTemplate, type TemplateSources } from '../../core/template.ts';
import type { Tree } from '../../oci/tree.ts';

/** Name of the installed system among those that a sysroot can hold. */
export const STATEROOT = 'kvci';

/** The branch of the commit, which upgrades follow. */
export const REF = 'kvci/node';

/** How long a boot loader shows its menu. */
const MENU_DECISECONDS = 10;

/** How OSTree names what it boots; the deployment is the first of its boot checksum and of its commit. */
export interface BootNames {
  /** Kernel and initramfs relative to /boot, with a leading slash. */
  readonly kernel: string;
  readonly initramfs: string;
  /** Folder of the link that `ostree=` names, relative to the sysroot. */
  readonly link: string;
  /** What the link points to. */
  readonly target: string;
  readonly deployment: string;
}

/** @param bootChecksum sha256 of kernel and initramfs, one after the other */
export function bootNames(release: string, bootChecksum: string, commit: string): BootNames {
  const folder = `/ostree/${STATEROOT}-${bootChecksum}`;
  return {
    kernel: `${folder}/vmlinuz-${release}`,
    initramfs: `${folder}/initramfs-${release}.img`,
    link: `ostree/boot.1.1/${STATEROOT}/${bootChecksum}/0`,
    target: `../../../deploy/${STATEROOT}/deploy/${commit}.0`,
    deployment: `ostree/deploy/${STATEROOT}/deploy/${commit}.0`,
  };
}

/** The kernel's command line, the same for every copy of the disk and for every way to boot it. */
export function kernelArguments(uuid: string, bootChecksum: string, kargs: readonly string[]): string {
  return [`root=UUID=${uuid}`, 'rw', ...kargs, `ostree=/ostree/boot.1/${STATEROOT}/${bootChecksum}/0`].join(' ');
}

/** Files that OSTree and the boot loader read, by path in the sysroot. All are what `ostree admin deploy` would have written. */
export function bootFiles(templates: TemplateSources, names: BootNames, title: string, options: string): ReadonlyMap<string, string> {
  const view = {
    title: `${title} (ostree:0)`,
    options,
    kernel: names.kernel,
    initramfs: names.initramfs,
    deciseconds: MENU_DECISECONDS,
    ref: REF,
  };
  const render = (name: string): string => renderTemplate(templates, `disk/native/${name}`, view);
  return new Map([
    ['ostree/repo/config', render('repo-config')],
    ['boot/loader.1/entries/ostree-1.conf', render('boot-entry.conf')],
    ['boot/loader.1/syslinux.cfg', render('syslinux.cfg')],
    [`${names.deployment}.origin`, render('origin')],
  ]);
}

export const BOOT_LINKS: ReadonlyMap<string, string> = new Map([
  // Paths of loader entries start at the file system that holds /boot, whether it is one of its own or not.
  ['boot/boot', '.'],
  ['boot/loader', 'loader.1'],
  ['boot/syslinux/syslinux.cfg', '../loader/syslinux.cfg'],
  ['ostree/boot.1', 'boot.1.1'],
]);

/** Folders of a sysroot that may be empty. */
export const SYSROOT_FOLDERS = [
  'boot/loader.1/entries',
  'boot/ostree',
  'boot/syslinux',
  'ostree/repo/extensions',
  'ostree/repo/objects',
  'ostree/repo/refs/heads',
  'ostree/repo/refs/mirrors',
  'ostree/repo/refs/remotes',
  'ostree/repo/state',
  'ostree/repo/tmp/cache',
] as const;

/** Which files of an image a conversion reads as text. */
export const OS_RELEASE = 'usr/lib/os-release';

/**
 * Where root's home lies below /var: /usr and all else of the image is read-only.
 *
 * @throws KvciError `root-home-read-only`
 */
export function rootHome({ nodes }: Pick<Tree, 'nodes'>): string {
  const home = nodes.get('root');
  const target = home?.type === 'symlink' ? posix.join('/', home.linkname ?? '') : '/root';
  if (target.startsWith('/var/')) return target.slice('/var/'.length);
  throw new KvciError('usage', 'root-home-read-only', 'the image has /root itself and not as a link into /var: no key can be put there', {
    hint: 'Leave --ssh-key out, and bring the key into the image.',
  });
}
