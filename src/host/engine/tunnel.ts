import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '../../core/clock.ts';
import { KvciError, messageOf, throwIfCancelled } from '../../core/errors.ts';
import { lastLines } from '../command-error.ts';
import { identify } from '../processes.ts';
import type { CommandRunner, Directories } from '../types.ts';
import { showAddress } from './endpoint.ts';
import { type SshAddress, sshArgv } from './ssh-argv.ts';

export interface TunnelParts {
  /** Of this host: what it starts ends with kvci, however that ends. */
  readonly commands: CommandRunner;
  readonly directories: Pick<Directories, 'runtime'>;
  readonly clock: Clock;
  /** Of the whole run. */
  readonly signal: AbortSignal;
  /** Own process id, by which sockets of killed ones are told. */
  readonly pid: number;
}

/** A way to an engine of another host. */
export interface Tunnel extends AsyncDisposable {
  /** Socket of this host that leads there. */
  readonly path: string;
}

const POLL_MS = 25;

/** A connection that broke is made anew after this long. */
const AGAIN_MS = 500;

/**
 * Leads to the socket of an engine of another host by ssh, which is started anew when its connection breaks, until it is disposed
 * or the run ends.
 *
 * @throws KvciError `engine-unreachable` with what ssh said
 */
export async function openTunnel(address: SshAddress, origin: string, parts: TunnelParts): Promise<Tunnel> {
  const { commands, clock, directories } = parts;
  await mkdir(directories.runtime, { recursive: true, mode: 0o700 });
  await removeStale(directories.runtime);
  const path = join(directories.runtime, `ssh-${parts.pid}-${randomBytes(4).toString('hex')}.sock`);
  const closing = new AbortController();
  const signal = AbortSignal.any([closing.signal, parts.signal]);
  const lines: string[] = [];
  let failed: string | undefined;
  const serve = async (): Promise<void> => {
    while (!signal.aborted) {
      lines.length = 0;
      failed = undefined;
      const onLine = (line: string): void => void lines.push(line);
      await commands
        .run(sshArgv(address, `${path}:${address.socket}`), { signal, onLine })
        .catch((error: unknown) => (failed = messageOf(error)));
      failed ??= 'it ended';
      await clock.wait(AGAIN_MS, signal).catch(() => undefined);
    }
  };
  const serving = serve();
  const dispose = async (): Promise<void> => {
    closing.abort();
    await serving;
    await rm(path, { force: true });
  };
  while (!existsSync(path)) {
    if (failed !== undefined || parts.signal.aborted) {
      // Of the first attempt; one that was connected once is tried again and again.
      const said = lines.length > 0 ? `\n${lastLines(lines.join('\n'))}` : ` ${failed ?? ''}`;
      await dispose();
      throwIfCancelled(parts.signal);
      throw new KvciError(
        'hostNotReady',
        'engine-unreachable',
        `no container engine is reached at ${showAddress(address)} (${origin}):${said}`,
        {
          hint: `Try it by hand, without a question for a password: ssh -o BatchMode=yes ${address.destination} true`,
          facts: { origin, address: showAddress(address) },
        },
      );
    }
    await clock.wait(POLL_MS, parts.signal).catch(() => undefined);
  }
  return { path, [Symbol.asyncDispose]: dispose };
}

/** Sockets of kvcis that were killed. */
async function removeStale(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = /^ssh-(\d+)-[0-9a-f]+\.sock$/.exec(name)?.[1];
    if (pid !== undefined && (await identify(Number(pid))) === undefined) await rm(join(folder, name), { force: true });
  }
}
