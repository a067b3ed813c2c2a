import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';

import { hasErrno, KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import type { HostPort, NodeHandle } from '../machine/types.ts';
import { hostPort } from './addresses.ts';

/** An address of this host whose connections lead to an address as a node sees it. */
export interface LocalForward {
  readonly from: HostPort;
  readonly to: HostPort;
}

const LOOPBACK = '127.0.0.1';

/** Seconds that one side may go on after the other has ended. */
const HALF_CLOSED_S = 5;

const SPEC = /^(?:(?<bind>\[[^\]]+\]|[^:[\]]+):)?(?<port>\d+):(?<host>\[[^\]]+\]|[^:[\]]+):(?<hostPort>\d+)$/;

/** Reads `[BIND:]PORT:HOST:HOSTPORT`, as ssh(1) has it: IPv6 addresses in brackets. @throws KvciError `bad-forward` */
export function parseForward(text: string): LocalForward {
  const { bind = LOOPBACK, port, host = '', hostPort: target } = SPEC.exec(text)?.groups ?? {};
  const [from, to] = [Number(port), Number(target)];
  if (isPort(from) && isPort(to)) return { from: { host: bare(bind), port: from }, to: { host: bare(host), port: to } };
  throw new KvciError('usage', 'bad-forward', `"${text}" is not a forward`, {
    hint: 'Write PORT:HOST:HOSTPORT, such as 8080:localhost:80; an IPv6 address stands in brackets.',
  });
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65535;
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

/** The command on a node that is the far end of a connection. */
export function farEndArgv({ host, port }: HostPort): [string, ...string[]] {
  return ['socat', '-t', String(HALF_CLOSED_S), '-', `TCP:${hostPort(host, port)}`];
}

/**
 * Leads connections on until it is let go of, with those that there are.
 *
 * @throws KvciError `port-taken`, `bad-forward` for an address that this host does not have
 */
export async function forwardTo(
  node: Pick<NodeHandle, 'name' | 'attach'>,
  { from, to }: LocalForward,
  events: EventSink,
): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const serving = new Set<Promise<void>>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    const served = serve(node, to, socket, events).finally(() => {
      open.delete(socket);
      serving.delete(served);
    });
    serving.add(served);
  });
  server.listen(from.port, from.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw notListening(from, error);
  }
  const message = `${hostPort(from.host, from.port)} leads to ${hostPort(to.host, to.port)} as ${node.name} sees it`;
  events({ type: 'problem', level: 'note', message });
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await Promise.all(serving);
      await closed;
    },
  };
}

async function serve(node: Pick<NodeHandle, 'name' | 'attach'>, to: HostPort, socket: Socket, events: EventSink): Promise<void> {
  const gone = new AbortController();
  socket.on('error', () => undefined);
  socket.on('close', () => {
    gone.abort();
  });
  const stderr = new PassThrough();
  let said = '';
  stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  try {
    const code = await node.attach(farEndArgv(to), { stdin: socket, stdout: socket, stderr, signal: gone.signal });
    if (code !== 0) throw new KvciError('failed', 'forward-failed', said.trim());
    socket.end();
  } catch (error) {
    socket.destroy();
    if (gone.signal.aborted || !(error instanceof KvciError)) return;
    const message = `${node.name}: a connection to ${hostPort(to.host, to.port)} ended: ${error.message}`;
    events({ type: 'problem', level: 'warning', message });
  }
}

function notListening({ host, port }: HostPort, error: unknown): unknown {
  const at = hostPort(host, port);
  if (hasErrno(error, 'EADDRINUSE')) return new KvciError('notFoundOrExists', 'port-taken', `somebody listens at ${at}`, { cause: error });
  if (!hasErrno(error, 'EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN')) return error;
  return new KvciError('usage', 'bad-forward', `this user cannot listen at ${at} of this host`, { cause: error });
}
