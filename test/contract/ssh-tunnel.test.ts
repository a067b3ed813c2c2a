import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';

import { openTunnel } from '../../src/host/engine/tunnel.ts';
import { holdPort } from '../../src/host/free-port.ts';
import { connectNodesEngine } from '../../src/wiring/connect-engine.ts';
import type { HostParts } from '../../src/wiring/host.ts';
import { scratchFolder } from '../fixtures/layouts.ts';
import { isMissing } from '../fixtures/needs.ts';
import { type SshServer, sshProblem, startSshServer, tunnelParts } from '../fixtures/ssh-server.ts';
import { until } from '../fixtures/traces.ts';

/* The host's own ssh against a server that forwards to sockets, as sshd does; at the socket there is an echo. */

const SOCKET = '/run/engine.sock';

async function server(): Promise<SshServer> {
  const started = await startSshServer((channel) => channel.pipe(channel));
  onTestFinished(() => started[Symbol.asyncDispose]());
  return started;
}

const parts = () => tunnelParts(scratchFolder());
const addressAt = (port: number) => ({ transport: 'ssh', destination: 'core@127.0.0.1', port, socket: SOCKET }) as const;

async function echo(path: string): Promise<string> {
  const socket = createConnection(path);
  socket.on('error', () => undefined);
  socket.end('ping');
  let said = '';
  socket.on('data', (chunk) => (said += String(chunk)));
  // A way that is not there yet.
  await once(socket, 'close').catch(() => undefined);
  return said;
}

describe.skipIf(isMissing('ssh', sshProblem()))('a way to an engine by ssh', () => {
  it('leads to the socket, is met again when it breaks, and leaves nothing', async () => {
    const { port, asked, hangUp } = await server();
    const tunnel = await openTunnel(addressAt(port), 'test', await parts());
    expect(await echo(tunnel.path)).toBe('ping');
    expect(asked).toEqual([SOCKET]);
    hangUp();
    await until(async () => (await echo(tunnel.path)) === 'ping');
    await tunnel[Symbol.asyncDispose]();
    expect(existsSync(tunnel.path)).toBe(false);
  });

  it('takes away what a killed kvci left', async () => {
    const { port } = await server();
    const given = await parts();
    // No process has it: pids end before.
    const first = await openTunnel(addressAt(port), 'test', { ...given, pid: 2 ** 22 + 1 });
    const second = await openTunnel(addressAt(port), 'test', given);
    expect([existsSync(first.path), existsSync(second.path)]).toEqual([false, true]);
    for (const tunnel of [first, second]) await tunnel[Symbol.asyncDispose]();
  });

  it('says where it leads to when no engine is there', async () => {
    const started = await startSshServer((channel) => channel.end());
    onTestFinished(() => started[Symbol.asyncDispose]());
    // All that it takes of the host.
    const host = (await parts()) as unknown as HostParts;
    await expect(connectNodesEngine({ address: addressAt(started.port), origin: '--engine' }, host)).rejects.toMatchObject({
      code: 'engine-unreachable',
      message: expect.stringContaining(`at ssh://core@127.0.0.1:${started.port}${SOCKET} (--engine): `) as string,
      hint: expect.stringContaining('on that host') as string,
    });
  });

  it('says what ssh says where nobody answers', async () => {
    const held = await holdPort();
    await held[Symbol.asyncDispose]();
    await expect(openTunnel(addressAt(held.port), '--engine', await parts())).rejects.toMatchObject({
      code: 'engine-unreachable',
      exitCode: 3,
      message: expect.stringMatching(
        /no container engine is reached at ssh:\/\/core@127\.0\.0\.1:\d+\/run\/engine\.sock \(--engine\):\n.*refused/,
      ) as string,
    });
  });
});
