import { addAbortListener, once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

import { followFile } from '../machine/qemu/follow-file.ts';
import type { MachineConsole } from '../machine/types.ts';

/** Ctrl-], as telnet, virsh and podman have it: every other key is the machine's. */
const LEAVE = 0x1d;

/**
 * Shows a machine's console from its first line on, and hands it what is typed, until the machine has ended, somebody leaves or
 * the signal aborts.
 *
 * @throws KvciError what opening the console throws
 */
export async function attachConsole(
  { log, openConsole }: Pick<MachineConsole, 'log' | 'openConsole'>,
  { stdin, stdout }: { readonly stdin?: Readable; readonly stdout: Writable },
  signal: AbortSignal,
): Promise<'left' | 'ended'> {
  const keys = await openConsole();
  const done = new AbortController();
  const shown = show(log, stdout, AbortSignal.any([signal, done.signal]));
  const ended = once(keys, 'close').then(() => 'ended' as const);
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
    // What is piped comes in one piece with it.
    if (end >= 0) keys.write(bytes.subarray(0, end), leave);
    else keys.write(bytes);
  };
  stdin?.on('data', onKeys);
  using _leaving = addAbortListener(signal, leave);
  try {
    return await Promise.race([left, ended]);
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
