import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import type { StepContext } from '../../core/plan.ts';
import type { TemplateSources } from '../../core/template.ts';
import { asDiskFull, removeTree } from '../../host/files.ts';
import type { CommandRunner } from '../../host/types.ts';
import { type SpooledTree, spoolTree } from '../../oci/spool.ts';
import type { Tools } from '../../sandbox/tools-image.ts';
import type { Sandboxes } from '../../sandbox/types.ts';
import type { ConvertedDisk, DiskRequest } from '../types.ts';
import { allOf } from './all-of.ts';
import { streamOf } from './contents.ts';
import { compressArgv } from './filesystem.ts';
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
    const binds = [{ host: folder, inside: INSIDE, writable: true }];
    context.output('reading the layers');
    await using resources = new AsyncDisposableStack();
    const [sandbox, spooled] = await both(
      resources,
      parts.sandboxes.start({ name: 'disk', binds, network: 'private', cgroups: false, signal: context.signal }),
      spoolTree(request.source.layout, request.source.image.manifest.layers, work),
    );
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

/** Both resources, disposed with the stack, also where only one of them came. */
async function both<A extends AsyncDisposable, B extends AsyncDisposable>(
  stack: AsyncDisposableStack,
  a: Promise<A>,
  b: Promise<B>,
): Promise<readonly [A, B]> {
  return allOf([a.then((one) => stack.use(one)), b.then((other) => stack.use(other))]);
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
