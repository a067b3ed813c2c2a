import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

import { hasErrno, KvciError } from '../core/errors.ts';

const LOOPBACK = '127.0.0.1';

/**
 * Below what Linux gives to connections (ip_local_port_range, 32768 on): a port that is chosen today is not the other end of some
 * connection tomorrow.
 */
const FIRST = 20_000;
const LAST = 29_999;

/** Ports of these are taken by a handful of programs: more failures have another reason. */
const ATTEMPTS = 100;

/**
 * A port of this host's loopback at which nobody listens.
 *
 * @param kept ports of somebody who does not listen now
 * @throws KvciError `no-free-port`
 */
export async function freePort(kept: ReadonlySet<number> = new Set()): Promise<number> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const port = randomInt(FIRST, LAST + 1);
    if (!kept.has(port) && (await isFree(port))) return port;
  }
  throw new KvciError('hostNotReady', 'no-free-port', `none of ${ATTEMPTS} ports of ${LOOPBACK} from ${FIRST} to ${LAST} is free`);
}

/** Whether nobody listens at a port of this host's loopback. */
export async function isFree(port: number): Promise<boolean> {
  try {
    await using _held = await holdPort(port);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EADDRINUSE', 'EACCES')) return false;
    throw error;
  }
}

/** Keeps a port of this host's loopback from others; some free one where none is named. */
export async function holdPort(wanted = 0): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((socket) => socket.destroy()).listen(wanted, LOOPBACK);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

/** @param host that the port is of, where that is not this host's loopback */
export function portIsTaken(port: number, host = `this host's ${LOOPBACK}`, facts: KvciError['facts'] = {}, cause?: unknown): KvciError {
  return new KvciError('notFoundOrExists', 'port-taken', `port ${port} of ${host} is taken`, {
    hint: `End what listens there ("ss -ltnp 'sport = :${port}'" shows it), and run the command again.`,
    facts: { port, ...facts },
    ...(cause === undefined ? {} : { cause }),
  });
}
