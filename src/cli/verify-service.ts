import { readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { parseYaml } from '../config/parse.ts';
import type { Digest } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { type RunContext, runStep } from '../core/plan.ts';
import { digestFile } from '../host/files.ts';
import type { Ledger } from '../host/types.ts';
import { KVCI_LABELS } from '../image/labels.ts';
import { locateImage, type LocatedImage } from '../image/locate.ts';
import { type DiskSource, inspectDisk, requireDisk } from '../machine/qemu/disk-source.ts';
import { qemuProgram } from '../machine/qemu/qemu-arguments.ts';
import type { VmSandboxParts } from '../machine/qemu/vm-sandbox.ts';
import type { MachineProvider } from '../machine/types.ts';
import { readImageAt } from '../oci/image.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Architecture } from '../payload/types.ts';
import { openContainerBench } from '../verify/container-bench.ts';
import { type FactsFile, factsFileSchema } from '../verify/expectations.ts';
import { checkFactsFile } from '../verify/facts-file.ts';
import { machineBench } from '../verify/machine-bench.ts';
import type { VerifyReport, VerifySubject } from '../verify/types.ts';
import { verify } from '../verify/verify.ts';
import { isDiskFile } from './boot-disk.ts';
import { qemuVersion } from './qemu-version.ts';
import { reportStatement } from './render/verify.ts';
import type { DiskService, ImageService, VerifyService, WantedVerification } from './services.ts';
import { besideDisk, checkReportFile, writeReportFile } from './verification-file.ts';

export interface VerifyServiceParts {
  /** kvci's image store. */
  readonly layout: () => Promise<ImageLayout>;
  readonly hostArchitecture: Architecture;
  readonly ledger: Ledger;
  /** Socket of the engine of this host that somebody named for nodes; undefined for kvci's own. */
  readonly engine: () => Promise<string | undefined>;
  readonly containers: (engine: string | undefined) => Promise<MachineProvider>;
  readonly image: () => Promise<ImageService>;
  readonly disk: () => Promise<DiskService>;
  readonly vms: () => Promise<VmSandboxParts>;
  /** Versions of kvci and what runs it, by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** The tools image, by the digest over all it is made of. */
  readonly tools: () => Promise<{ readonly key: Digest }>;
}

/** How much larger the copies are that machines get: whether the root grows shows only in a larger one. */
const GROWTH = 2;

/** The verification over the rooms that do the work. */
export function createVerifyService(parts: VerifyServiceParts): VerifyService {
  return {
    verify: async (wanted, cwd, run) => {
      const facts = await readFacts(wanted.factsFile, cwd);
      const named = wanted.report === undefined ? undefined : resolve(cwd, wanted.report);
      if (named !== undefined) await checkReportFile(named);
      const report = await (wanted.as === 'machine'
        ? verifyMachines(wanted, cwd, facts, parts, run)
        : verifyContainers(wanted, facts, parts, run));
      const { disk } = report.subject;
      const file = named ?? (disk === undefined ? undefined : besideDisk(disk.file));
      const statement = file === undefined ? undefined : await writeReportFile(file, reportStatement(report, run.clock.now()), run);
      return { report, ...(statement === undefined ? {} : { statement }) };
    },
  };
}

/** Boots copies of a disk, which is made first where an image is named. */
async function verifyMachines(
  wanted: WantedVerification,
  cwd: string,
  facts: FactsFile,
  parts: VerifyServiceParts,
  run: RunContext,
): Promise<VerifyReport> {
  const { disk, image } = await diskOf(wanted, cwd, parts, run);
  await checkReportFile(wanted.report === undefined ? besideDisk(disk.path) : resolve(cwd, wanted.report), disk.path);
  const vms = await parts.vms();
  const [{ digest, size }, look] = await Promise.all([digestFile(disk.path), lookAtDisk(disk, vms, run.signal)]);
  const diskSize = look.size * GROWTH;
  const versions = { ...parts.versions, qemu: look.qemu, tools: (await parts.tools()).key };
  const bench = machineBench({ vms, disk, diskSize, acceleration: 'auto', sandbox: wanted.sandbox });
  const subject: VerifySubject = {
    kind: 'machine',
    name: nameOf(wanted),
    disk: { file: disk.path, digest, size },
    ...(image === undefined ? {} : { image }),
  };
  return verify({ subject, facts, versions, diskSize }, bench, run);
}

interface DiskLook {
  /** Bytes of the virtual disk. */
  readonly size: number;
  /** The version of what will run it. */
  readonly qemu: string;
}

/** @throws KvciError as `inspectDisk` */
async function lookAtDisk(disk: DiskSource, { sandboxes, architecture }: VmSandboxParts, signal: AbortSignal): Promise<DiskLook> {
  const binds = [{ host: dirname(disk.path), inside: '/disk', writable: false }];
  await using sandbox = await sandboxes.start({ name: 'disk', binds, network: 'private', cgroups: false, signal });
  const { size } = await inspectDisk(disk, join('/disk', basename(disk.path)), sandbox, architecture);
  const { stdout } = await sandbox.run([qemuProgram(architecture), '--version'], { signal });
  return { size, qemu: qemuVersion(stdout) };
}

interface DiskToVerify {
  readonly disk: DiskSource;
  readonly image: VerifySubject['image'];
}

/** A disk by its path, or the one of an image. */
async function diskOf(
  { disk, diskFlags, settings }: WantedVerification,
  cwd: string,
  parts: VerifyServiceParts,
  run: RunContext,
): Promise<DiskToVerify> {
  if (disk.image.kind === 'stored') {
    const path = resolve(cwd, disk.image.ref);
    if (await isDiskFile(disk.image.ref, path)) {
      refuseDiskFlags(diskFlags, `${disk.image.ref} is a disk already`);
      await requireDisk(path);
      return { disk: { path }, image: undefined };
    }
  }
  const built = await (await parts.disk()).build(disk, settings, undefined, run);
  const ref = disk.image.kind === 'stored' ? disk.image.ref : built.image;
  return {
    disk: { path: built.path, directBoot: built.directBoot, architecture: parts.hostArchitecture },
    image: await imageOf(await locateImage(await parts.layout(), ref), parts),
  };
}

/** @throws KvciError `flag-without-disk` */
function refuseDiskFlags(flags: readonly string[], why: string): void {
  if (flags.length === 0) return;
  throw new KvciError('usage', 'flag-without-disk', `${flags.join(', ')}: ${why}, and no disk is made`, {
    hint: 'These flags say how the disk of an image is made: leave them out.',
    facts: { flags },
  });
}

/** How the result calls what was verified. */
function nameOf({ disk: { image } }: WantedVerification): string {
  return image.kind === 'stored' ? image.ref : `Kubernetes ${image.options.k8s} on ${image.options.base}`;
}

async function verifyContainers(
  wanted: WantedVerification,
  facts: FactsFile,
  parts: VerifyServiceParts,
  run: RunContext,
): Promise<VerifyReport> {
  refuseDiskFlags(wanted.diskFlags, 'containers have no disk');
  const layout = await parts.layout();
  const { settings } = wanted;
  const { image } = wanted.disk;
  const ref = image.kind === 'stored' ? image.ref : (await (await parts.image()).build(image.options, settings, run)).digest;
  const located = await locateImage(layout, ref);
  if (located.layout !== layout)
    throw new KvciError('usage', 'not-in-store', `${ref} is not in kvci's store`, { hint: 'Containers are started from there.' });
  const subject: VerifySubject = { kind: 'container', name: nameOf(wanted), image: await imageOf(located, parts) };
  const { digest } = located.descriptor;
  const engine = await parts.engine();
  await using provider = await parts.containers(engine);
  await runStep(
    {
      id: 'image',
      title: 'image to the engine',
      why: 'the engine does not have it yet',
      find: async () => ((await provider.hasImage(digest)) ? true : undefined),
      make: async ({ output, signal }) => provider.prepare(digest, output, signal).then(() => true),
    },
    run,
  );
  await using bench = await openContainerBench({ provider, image: digest, engine, ledger: parts.ledger, run });
  // Another engine than kvci's own takes nothing of the tools image.
  const versions = engine === undefined ? { ...parts.versions, tools: (await parts.tools()).key } : parts.versions;
  return await verify({ subject, facts, versions }, bench, run);
}

async function imageOf(
  { layout, descriptor }: LocatedImage,
  { hostArchitecture }: VerifyServiceParts,
): Promise<NonNullable<VerifySubject['image']>> {
  const image = await readImageAt(layout, descriptor, hostArchitecture);
  const labels = image.config.config?.Labels ?? {};
  const [kubernetes, base] = [labels[KVCI_LABELS.kubernetes], labels[KVCI_LABELS.base]];
  return {
    digest: image.descriptor.digest,
    ...(kubernetes === undefined ? {} : { kubernetes }),
    ...(base === undefined ? {} : { base }),
  };
}

/** @throws KvciError `facts-not-found`, ProblemsError `config-invalid`, `facts-invalid` */
async function readFacts(file: string | undefined, cwd: string): Promise<FactsFile> {
  if (file === undefined) return factsFileSchema.parse({});
  let text: string;
  try {
    text = await readFile(resolve(cwd, file), 'utf8');
  } catch (cause) {
    if (!hasErrno(cause, 'ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES')) throw cause;
    throw new KvciError('notFoundOrExists', 'facts-not-found', `--facts: ${file} cannot be read (${cause.code ?? ''})`, {
      facts: { flag: '--facts' },
      cause,
    });
  }
  const { data } = parseYaml(text, file, factsFileSchema);
  checkFactsFile(data, file);
  return data;
}
