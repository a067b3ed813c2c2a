import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { allOf } from '../../core/all-of.ts';
import type { StepContext } from '../../core/plan.ts';
import type { TemplateSources } from '../../core/template.ts';
import type { CommandRunner } from '../../host/types.ts';
import { gathered } from '../../oci/streams.ts';
import type { DiskRequest } from '../types.ts';
import { biosCommand, biosWrites, BOOT_SECTOR, espCommands } from './boot-loader.ts';
import { fixedTime, immutableArgv, mkfsArgv } from './filesystem.ts';
import { partitionArgv, partitionTable } from './partitions.ts';
import type { DiskPlan } from './plan-disk.ts';
import { sysrootEntries } from './sysroot-entries.ts';

export interface RawDiskParts {
  /** The folder that holds the disk, and where it is seen inside the sandbox. */
  readonly folder: string;
  readonly inside: string;
  /** Name of the disk in it. */
  readonly name: string;
  /** A folder in it for what is needed meanwhile. */
  readonly work: string;
  readonly sandbox: CommandRunner;
  /** Folder of the tools image. */
  readonly tools: string;
  readonly templates: TemplateSources;
}

type Argv = readonly [string, ...string[]];

/** Writes partitions, boot loaders and the root file system into a new sparse file. */
export async function writeRawDisk(request: DiskRequest, plan: DiskPlan, parts: RawDiskParts, { signal }: StepContext): Promise<void> {
  const disk = join(parts.inside, parts.name);
  const path = join(parts.folder, parts.name);
  const run = async (argv: Argv, stdin?: string | Readable): Promise<void> => {
    await parts.sandbox.run(argv, { env: fixedTime(plan.created), signal, ...(stdin === undefined ? {} : { stdin }) });
  };
  await writeFile(path, '', { flag: 'wx' });
  await truncate(path, request.size);
  await run(partitionArgv(disk), partitionTable(plan.layout, plan.ids, request.source.architecture));

  let deployment = '';
  const entries = sysrootEntries({ ...plan, templates: parts.templates, commit: commitFacts(request) }, (folder) => (deployment = folder));
  const tar = Readable.from(gathered(request.source.layout.tar.write(entries, { binaryNames: true })), { objectMode: false });
  await allOf([run(mkfsArgv(disk, plan.layout.root, plan.ids), tar), writeBootLoaders(request, plan, parts, path, run)]);
  await run(immutableArgv(disk, plan.layout.root, deployment));
}

function commitFacts({ source: { image } }: DiskRequest): {
  readonly subject: string;
  readonly metadata: Readonly<Record<string, string>>;
} {
  const labels = image.config.config?.Labels ?? {};
  const version = labels['org.opencontainers.image.version'];
  return {
    subject: labels['org.opencontainers.image.title'] ?? 'bootc image',
    metadata: { 'ostree.manifest-digest': image.descriptor.digest, ...(version === undefined ? {} : { version }) },
  };
}

async function writeBootLoaders(
  { source: { architecture } }: DiskRequest,
  { layout, ids }: DiskPlan,
  { folder, inside, work, tools, templates }: RawDiskParts,
  path: string,
  run: (argv: Argv) => Promise<void>,
): Promise<void> {
  const at = (name: string): string => join(inside, work, name);
  const paths = { disk: join(inside, path.slice(folder.length)), config: at('grub.cfg'), loader: at('uefi.img') };
  await writeFile(join(folder, work, 'grub.cfg'), templates.get('disk/native/grub.cfg') ?? '');
  for (const argv of espCommands(architecture, paths, layout.esp, ids)) await run(argv);
  const bios = biosCommand(architecture, paths.config, at('bios.img'));
  if (bios === undefined) return;
  await run(bios);
  const core = await readFile(join(folder, work, 'bios.img'));
  await using file = await open(path, 'r+');
  for (const { offset, bytes } of biosWrites(await readFile(join(tools, BOOT_SECTOR)), core, layout.bios)) {
    await file.write(bytes, 0, bytes.length, offset);
  }
}
