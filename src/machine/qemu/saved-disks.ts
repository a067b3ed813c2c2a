import { chmod, cp, link, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { hasErrno } from '../../core/errors.ts';
import type { CommandRunner } from '../../host/types.ts';
import { MACHINES_INSIDE } from './launch-vm-sandbox.ts';
import { diskName } from './vm-files.ts';
import type { VmRecord } from './vm-record.ts';
import type { VmSandbox } from './vm-sandbox.ts';

/** Gives a machine's folder what it was saved as. Where files cannot be linked they are copied. @param folder of `savedFolder` */
export async function linkSaved(from: string, own: string, folder: string): Promise<void> {
  const saved = join(own, folder);
  await mkdir(saved, { recursive: true, mode: 0o700 });
  for (const file of await readdir(from)) {
    const isDisk = /^disk.*\.qcow2$/.test(file);
    await linkOrCopy(join(from, file), join(isDisk ? own : saved, file));
    if (file === 'uefi-variables.fd') await copyAs(join(from, file), join(own, file));
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!hasErrno(error, 'EXDEV', 'EPERM', 'EMLINK')) throw error;
    await cp(from, to);
  }
}

async function copyAs(from: string, to: string): Promise<void> {
  await cp(from, to, { force: true });
  await chmod(to, 0o600);
}

/** How many disks a machine has, the last of which is written unless it is frozen; 0 before there is one. */
export async function diskCount(runner: CommandRunner, name: string): Promise<number> {
  const { stdout } = await runner.run(['sh', '-c', 'ls "$1" 2>/dev/null || true', 'sh', `${MACHINES_INSIDE}/${name}`]);
  const files = new Set(stdout.split('\n'));
  let count = 0;
  while (files.has(diskName(count))) count += 1;
  return count;
}

/** Whole or not at all. */
const MAKE_CHILD = 'qemu-img create -q -f qcow2 -b "$1" -F qcow2 "$2.new" && mv -- "$2.new" "$2"';

/** The disk that the machine writes: a child of its frozen ones. */
export async function makeChild({ runner }: VmSandbox, name: string, frozen: number, signal: AbortSignal): Promise<string> {
  const folder = `${MACHINES_INSIDE}/${name}`;
  const [base, child] = [`${folder}/${diskName(frozen - 1)}`, `${folder}/${diskName(frozen)}`];
  await runner.run(['sh', '-c', MAKE_CHILD, 'sh', base, child], { signal });
  return child;
}

/** Takes away what a machine has written since it was saved. */
export async function dropChildren({ runner }: VmSandbox, name: string, record: VmRecord, signal: AbortSignal): Promise<void> {
  const folder = `${MACHINES_INSIDE}/${name}`;
  const frozen = record.saved?.disks ?? 0;
  const count = await diskCount(runner, name);
  const written = Array.from({ length: Math.max(0, count - frozen) }, (_, index) => `${folder}/${diskName(frozen + index)}`);
  await runner.run(['rm', '-f', ...written.toReversed()], { signal });
  if (record.firmware !== 'uefi') return;
  const restore = 'if [ -e "$2/uefi-variables.fd" ]; then cp -f -- "$2/uefi-variables.fd" "$1" && chmod 0600 "$1/uefi-variables.fd"; fi';
  await runner.run(['sh', '-c', restore, 'sh', folder, `${folder}/${record.saved?.folder ?? ''}`], { signal });
}
