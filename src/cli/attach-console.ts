import { addAbortListener, once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

import { followFile } from '../machine/qemu/follow-file.ts';
import type { Vm } from '../machine/qemu/vm.ts';

/** Ctrl-], as telnet, virsh and podman have it: every other key is the machine's. */
const LEAVE = 0x1d;

/**
 * Shows a machine's console from its first line on, and hands it what is typed, until the machine has ended, somebody leaves or
 * the signal aborts.
 *
 * @param file where the console is logged
 */
export async function attachConsole(
  vm: Vm,
  file: string,
  { stdin, stdout }: { readonly stdin?: Readable; readonly stdout: Writable },
  signal: AbortSignal,
): Promise<'left' | 'ended'> {
  const done = new AbortController();
  const shown = show(file, stdout, AbortSignal.any([signal, done.signal]));
  const keys = await vm.openConsole();
  // The file has it all.
  keys.resume();
  keys.on('error', () => undefined);
  let leave: () => void = () => undefined;
  const left = new Promise<'left'>((resolve) => {
    leave = () => {
      resolve('left');
    };
  });
  const onKeys = (bytes: Buffer): void => {
    const end = bytes.indexOf(LEAVE);
    if (end >= 0) leave();
    else keys.write(bytes);
  };
  stdin?.on('data', onKeys);
  using _leaving = addAbortListener(signal, leave);
  try {
    return await Promise.race([left, vm.ended.then(() => 'ended' as const)]);
  } finally {
    stdin?.off('data', onKeys);
    keys.destroy();
    done.abort();
    await shown;
  }
}

async function show(file: string, stdout: Writable, signal: AbortSignal): Promise<void> {
  for await (const piece of followFile(file, signal)) {
    if (!stdout.write(piece)) await once(stdout, 'drain');
  }
}
