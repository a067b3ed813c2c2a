import { open, stat } from 'node:fs/promises';
import { z } from 'zod';

import { hasErrno, KvciError } from '../../core/errors.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { Architecture } from '../../payload/types.ts';

/** What machines are made of: a disk that is never written, and what boots it without its boot loader. Paths of the host, absolute. */
export interface DiskSource {
  readonly path: string;
  /** Undefined where nobody told: that of this host is taken. */
  readonly architecture?: Architecture | undefined;
  readonly directBoot?: { readonly kernel: string; readonly initramfs: string; readonly arguments: string } | undefined;
}

/** All files that a machine is started from. */
export function filesOfDisk({ path, directBoot }: Pick<DiskSource, 'path' | 'directBoot'>): readonly string[] {
  return [path, ...(directBoot === undefined ? [] : [directBoot.kernel, directBoot.initramfs])];
}

export interface DiskFacts {
  readonly format: 'qcow2' | 'raw';
  /** Bytes of the virtual disk. */
  readonly size: number;
}

const infoSchema = z.object({ format: z.string(), 'virtual-size': z.number(), 'backing-filename': z.string().optional() });

/** Byte 510 of a disk with a partition table, also of GPT's protective one. */
const SIGNATURE = { offset: 510, bytes: [0x55, 0xaa] } as const;

/**
 * Looks at a disk before anything is made of it.
 *
 * @param inside where the sandbox sees it
 * @throws KvciError `disk-not-found`, `bad-disk`, `disk-architecture`
 */
export async function inspectDisk(
  source: DiskSource,
  inside: string,
  sandbox: CommandRunner,
  hostArchitecture: Architecture,
): Promise<DiskFacts> {
  await checkArchitecture(source, hostArchitecture);
  const { exitCode, stdout, stderr } = await sandbox.run(['qemu-img', 'info', '--force-share', '--output=json', inside], { accept: [1] });
  if (exitCode !== 0) throw badDisk(source.path, stderr.trim());
  const info = infoSchema.parse(JSON.parse(stdout));
  if (info['backing-filename'] !== undefined) {
    throw badDisk(
      source.path,
      `it is a copy-on-write child of ${info['backing-filename']}: give that one, or convert it to a disk of its own`,
    );
  }
  if (info.format === 'qcow2') return { format: 'qcow2', size: info['virtual-size'] };
  if (info.format !== 'raw') throw badDisk(source.path, `it is of the format ${info.format}; kvci boots qcow2 and raw`);
  // Everything is a raw disk to QEMU.
  if (source.directBoot === undefined && !(await hasPartitions(source.path))) throw badDisk(source.path, 'it has no partition table');
  return { format: 'raw', size: info['virtual-size'] };
}

/** @throws KvciError `disk-not-found` */
export async function requireDisk(path: string): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    throw new KvciError('notFoundOrExists', 'disk-not-found', `there is no disk ${path}`, { facts: { path } });
  }
  throw badDisk(path, 'it is no file');
}

/** @throws KvciError `disk-architecture` */
async function checkArchitecture(source: DiskSource, hostArchitecture: Architecture): Promise<void> {
  const { directBoot } = source;
  const architecture = source.architecture ?? (directBoot === undefined ? undefined : await kernelArchitecture(directBoot.kernel));
  if (architecture === undefined || architecture === hostArchitecture) return;
  throw new KvciError(
    'hostNotReady',
    'disk-architecture',
    `${source.path} is a disk of ${architecture} machines; this host is ${hostArchitecture}`,
    {
      hint: 'Machines of another architecture would have to be emulated on another host; boot it there.',
      facts: { path: source.path, architecture },
    },
  );
}

/** Marks of kernels: the Linux/x86 boot protocol's, and that of an arm64 Image (Documentation/arch/ of the kernel). */
const KERNELS = [
  { architecture: 'amd64', offset: 0x202, mark: 'HdrS' },
  { architecture: 'arm64', offset: 0x38, mark: 'ARMd' },
] as const;

/** What a kernel file is for; undefined when it does not tell. */
async function kernelArchitecture(path: string): Promise<Architecture | undefined> {
  const head = await readHead(path, 0x400);
  return KERNELS.find(({ offset, mark }) => head.subarray(offset, offset + mark.length).toString('latin1') === mark)?.architecture;
}

async function hasPartitions(path: string): Promise<boolean> {
  const head = await readHead(path, 512);
  return SIGNATURE.bytes.every((byte, index) => head[SIGNATURE.offset + index] === byte);
}

async function readHead(path: string, length: number): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
  return buffer.subarray(0, bytesRead);
}

function badDisk(path: string, why: string): KvciError {
  return new KvciError('failed', 'bad-disk', `${path} cannot be booted: ${why}`, { facts: { path } });
}
