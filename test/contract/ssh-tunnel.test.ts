import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import ssh2 from 'ssh2';
import { describe, expect, it, onTestFinished } from 'vitest';

import { hostCommands } from '../../src/host/adapters/execa-commands.ts';
import { ssh2Ssh } from '../../src/host/adapters/ssh2-ssh.ts';
import { systemClock } from '../../src/host/clock.ts';
import { openTunnel, type TunnelParts } from '../../src/host/engine/tunnel.ts';
import type { CommandRunner } from '../../src/host/types.ts';
import { scratchFolder } from '../fixtures/layouts.ts';
import { isMissing } from '../fixtures/needs.ts';
import { until } from '../fixtures/traces.ts';

/* The host's own ssh against a server that forwards to sockets, as sshd does. */

const SOCKET = '/run/engine.sock';
const problem = spawnSync('ssh', ['-V']).status === 0 ? undefined : 'there is no ssh';
const HOST_KEY = ssh2Ssh.newKeyPair('host');

interface Server {
  readonly port: number;
  readonly asked: string[];
  /** Breaks all connections. */
  readonly hangUp: () => void;
}

/** Lets everybody in, and leads to an echo. */
async function sshServer(): Promise<Server> {
  const connections = new Set<ssh2.Connection>();
  const asked: string[] = [];
  const server = new ssh2.Server({ hostKeys: [HOST_KEY.privateKey.reveal()] }, (connection) => {
    connections.add(connection);
    connection.on('error', () => undefined);
    connection.on('close', () => connections.delete(connection));
    connection.on('authentication', (context) => {
      context.accept();
    });
    connection.on('openssh.streamlocal', (accept, _reject, { socketPath }) => {
      asked.push(socketPath);
      const channel = accept();
      channel.pipe(channel);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    for (const connection of connections) connection.end();
    server.close();
  });
  const hangUp = (): void => {
    for (const connection of connections) connection.end();
  };
  return { port: (server.address() as AddressInfo).port, asked, hangUp };
}

async function parts(): Promise<TunnelParts> {
  const folder = scratchFolder();
  await writeFile(join(folder, 'config'), 'StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n');
  const host = hostCommands(() => undefined, systemClock);
  const commands: CommandRunner = {
    where: 'host',
    run: ([file, ...args], options) => host.run([file, '-F', join(folder, 'config'), ...args], options),
  };
  const signal = new AbortController().signal;
  return { commands, directories: { runtime: join(folder, 'run') }, clock: systemClock, signal, pid: process.pid };
}

async function echo(path: string): Promise<string> {
  const socket = createConnection(path);
  socket.on('error', () => undefined);
  socket.end('ping');
  let said = '';
  try {
    for await (const chunk of socket) said += String(chunk);
  } catch {
    // A way that is not there yet.
  }
  return said;
}

const addressAt = (port: number) => ({ transport: 'ssh', destination: 'core@127.0.0.1', port, socket: SOCKET }) as const;

describe.skipIf(isMissing('ssh', problem))('a way to an engine by ssh', () => {
  it('leads to the socket, is met again when it breaks, and leaves nothing', async () => {
    const server = await sshServer();
    const tunnel = await openTunnel(addressAt(server.port), 'test', await parts());
    expect(await echo(tunnel.path)).toBe('ping');
    expect(server.asked).toEqual([SOCKET]);
    server.hangUp();
    await until(async () => (await echo(tunnel.path)) === 'ping');
    await tunnel[Symbol.asyncDispose]();
    expect(existsSync(tunnel.path)).toBe(false);
  });

  it('takes away what a killed kvci left', async () => {
    const server = await sshServer();
    const given = await parts();
    const first = await openTunnel(addressAt(server.port), 'test', { ...given, pid: 2 ** 22 + 1 });
    const second = await openTunnel(addressAt(server.port), 'test', given);
    expect([existsSync(first.path), existsSync(second.path)]).toEqual([false, true]);
    for (const tunnel of [first, second]) await tunnel[Symbol.asyncDispose]();
  });

  it('says what ssh says where nobody answers', async () => {
    const listening = createServer().listen(0, '127.0.0.1');
    await once(listening, 'listening');
    const { port } = listening.address() as AddressInfo;
    listening.close();
    await once(listening, 'close');
    await expect(openTunnel(addressAt(port), '--engine', await parts())).rejects.toMatchObject({
      code: 'engine-unreachable',
      exitCode: 3,
      message: expect.stringMatching(
        /no container engine is reached at ssh:\/\/core@127\.0\.0\.1:\d+\/run\/engine\.sock \(--engine\):\n.*refused/,
      ) as string,
    });
  });
});
