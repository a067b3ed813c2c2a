import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { allOf } from '../../core/all-of.ts';
import type { StepContext } from '../../core/plan.ts';
import type { TemplateSources } from '../../core/template.ts';
import { asDiskFull, removeTree } from '../../host/files.ts';
import type { CommandRunner } from '../../host/types.ts';
import { blobPath } from '../../oci/blobs.ts';
import { type SpooledTree, spoolTree } from '../../oci/spool.ts';
import type { Tools } from '../../sandbox/tools-image.ts';
import type { Sandboxes } from '../../sandbox/types.ts';
import type { ConvertedDisk, DiskRequest } from '../types.ts';
import { streamOf } from './contents.ts';
import { compressArgv, unpackArgv } from './filesystem.ts';
import { type DiskPlan, planDisk } from './plan-disk.ts';
import { writeRawDisk } from './raw-disk.ts';
import { smallInitramfs } from './small-initramfs.ts';

export interface NativeParts {
  readonly sandboxes: Pick<Sandboxes, 'start'>;
  readonly tools: () => Promise<Tools>;
  /** Of `templates/`. */
  readonly templates: TemplateSources;
}

const INSIDE = '/disk';
const BLOBS = '/blobs';
const RAW = 'disk.raw';
const QCOW2 = 'disk.qcow2';
const WORK = 'work';

/** Of the tools image; needs no library. */
const BUSYBOX = 'usr/bin/busybox';

/**
 * Makes a disk of an image with nothing but files: the layers are unpacked into tars, and read from there as one stream into the file
 * system that mke2fs makes in its place on the disk. Boot loaders are put beside it meanwhile.
 */
export async function convertNatively(
  request: DiskRequest,
  folder: string,
  parts: NativeParts,
  context: StepContext,
): Promise<ConvertedDisk> {
  const work = join(folder, WORK);
  await mkdir(work);
  try {
    const { tree: tools } = await parts.tools();
    const { layout, image } = request.source;
    const binds = [
      { host: folder, inside: INSIDE, writable: true },
      { host: dirname(blobPath(layout, image.descriptor.digest)), inside: BLOBS, writable: false },
    ];
    context.output('reading the layers');
    await using sandbox = await parts.sandboxes.start({ name: 'disk', binds, network: 'private', cgroups: false, signal: context.signal });
    const unpack = async (from: string, to: string): Promise<void> => {
      await sandbox.run(unpackArgv(join(BLOBS, basename(from)), join(INSIDE, WORK, basename(to))), { signal: context.signal });
    };
    await using spooled = await spoolTree(layout, image.manifest.layers, work, unpack);
    const plan = planDisk(request, spooled);
    context.output('writing the disk');
    const disk = { folder, inside: INSIDE, name: RAW, work: WORK, sandbox, tools, templates: parts.templates };
    const [beside] = await allOf([
      writeBootFiles(plan, spooled, folder, tools, parts.templates),
      writeRawDisk(request, plan, disk, context),
    ]);
    const file = await packed(request, folder, sandbox, context);
    return { file, directBoot: { ...beside, arguments: plan.options } };
  } catch (error) {
    throw asDiskFull(error, folder);
  } finally {
    await removeTree(work);
  }
}

/** What boots the disk without its boot loader, beside it. */
async function writeBootFiles(
  { kernel }: DiskPlan,
  spooled: SpooledTree,
  folder: string,
  tools: string,
  templates: TemplateSources,
): Promise<{ readonly kernel: string; readonly initramfs: string }> {
  const names = { kernel: 'vmlinuz', initramfs: 'initramfs.img' };
  await pipeline(streamOf(spooled, kernel.vmlinuz), createWriteStream(join(folder, names.kernel), { flags: 'wx' }));
  const busybox = await readFile(join(tools, BUSYBOX));
  const initramfs = await smallInitramfs({ spooled, release: kernel.release, filesystem: 'ext4', busybox, templates });
  await writeFile(join(folder, names.initramfs), initramfs, { flag: 'wx' });
  return names;
}

async function packed({ format }: DiskRequest, folder: string, sandbox: CommandRunner, { output, signal }: StepContext): Promise<string> {
  if (format === 'raw') return RAW;
  output('compressing the disk');
  await sandbox.run(compressArgv(join(INSIDE, RAW), join(INSIDE, QCOW2)), { signal });
  await rm(join(folder, RAW));
  return QCOW2;
}
