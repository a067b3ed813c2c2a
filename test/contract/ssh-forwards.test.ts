import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';

import { systemClock } from '../../src/host/clock.ts';
import { freePort, holdPort, isFree } from '../../src/host/free-port.ts';
import { fileLocks } from '../../src/host/locks.ts';
import { isRunning, type ProcessIdentity } from '../../src/host/processes.ts';
import { removeLostForwards } from '../../src/machine/container/lost-forwards.ts';
import { SshForwards } from '../../src/machine/container/ssh-forwards.ts';
import { scratchFolder } from '../fixtures/layouts.ts';
import { isMissing } from '../fixtures/needs.ts';
import { type SshServer, sshFolder, sshProblem, startSshServer } from '../fixtures/ssh-server.ts';
import { until } from '../fixtures/traces.ts';

/* The host's own ssh, which lives on without kvci, against a server that forwards to ports; behind those the port's number is said. */

const NEVER = new AbortController().signal;
const LAB = { cluster: 'lab', run: 'a' };
const PUBLISHED = 24001;

const sayPort = (channel: Duplex, port: number): void => {
  channel.on('error', () => undefined);
  channel.resume();
  channel.end(String(port));
};

async function server(servePort: typeof sayPort | undefined = sayPort): Promise<SshServer> {
  const started = await startSshServer((channel) => channel.end(), servePort);
  onTestFinished(() => started[Symbol.asyncDispose]());
  return started;
}

async function place() {
  const state = scratchFolder();
  const path = process.env['PATH'];
  process.env['PATH'] = `${await sshFolder(scratchFolder())}:${path ?? ''}`;
  onTestFinished(() => void (process.env['PATH'] = path));
  const forwards = new SshForwards({ directories: { state }, locks: fileLocks(systemClock), clock: systemClock });
  onTestFinished(() => forwards.end('lab'));
  const record = async () =>
    JSON.parse(await readFile(join(state, 'ssh-forwards/lab.json'), 'utf8')) as { readonly process: ProcessIdentity };
  return { forwards, state, process: async () => (await record()).process };
}

const engineAt = (port: number) => ({ transport: 'ssh', destination: 'core@127.0.0.1', port, socket: '/run/docker.sock' }) as const;

async function said(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  await once(socket, 'close');
  return text;
}

describe.skipIf(isMissing('ssh', sshProblem()))('a port of this host that leads to a cluster elsewhere', () => {
  it('is the one that was chosen, stays what it is, and goes', async () => {
    const { port: ssh } = await server();
    const { forwards, process: own } = await place();
    const wanted = await freePort();
    expect(await forwards.ensure(LAB, engineAt(ssh), PUBLISHED, wanted, NEVER)).toBe(wanted);
    expect(await said(wanted)).toBe(String(PUBLISHED));
    const first = await own();
    expect(await isRunning(first)).toBe(true);
    expect(await forwards.ensure(LAB, engineAt(ssh), PUBLISHED, wanted, NEVER)).toBe(wanted);
    expect(await own()).toEqual(first);
    expect(await forwards.owners()).toMatchObject([LAB]);
    await forwards.end('lab', 'another life');
    expect(await isRunning(first)).toBe(true);
    await forwards.end('lab', 'a');
    expect([await isRunning(first), await isFree(wanted), await forwards.owners()]).toEqual([false, true, []]);
    await forwards.again(LAB, NEVER);
    expect(await isFree(wanted)).toBe(true);
  });

  it('leads elsewhere when the engine publishes another port, and at another port where that is asked for', async () => {
    const { port: ssh } = await server();
    const { forwards, process: own } = await place();
    const wanted = await freePort();
    await forwards.ensure(LAB, engineAt(ssh), PUBLISHED, wanted, NEVER);
    const first = await own();
    await forwards.ensure(LAB, engineAt(ssh), PUBLISHED + 1, wanted, NEVER);
    expect([await isRunning(first), await said(wanted)]).toEqual([false, String(PUBLISHED + 1)]);
    const other = await freePort();
    expect(await forwards.ensure(LAB, engineAt(ssh), PUBLISHED, other, NEVER)).toBe(other);
    expect([await isFree(wanted), await said(other)]).toEqual([true, String(PUBLISHED)]);
  });

  it.each([
    ['its connection broke', (started: SshServer) => started.hangUp],
    ['it was killed', (_: SshServer, owned: ProcessIdentity) => () => process.kill(owned.pid, 'SIGKILL')],
  ])('is met again at the same port when %s', async (_what, disturb) => {
    const started = await server();
    const { forwards, process: own } = await place();
    const port = await forwards.ensure(LAB, engineAt(started.port), PUBLISHED, undefined, NEVER);
    const first = await own();
    disturb(started, first)();
    await until(async () => !(await isRunning(first)));
    await forwards.again({ ...LAB, run: 'another life' }, NEVER);
    expect(await isFree(port)).toBe(true);
    await Promise.all([forwards.again(LAB, NEVER), forwards.again(LAB, NEVER)]);
    expect(await said(port)).toBe(String(PUBLISHED));
  });

  it('that somebody else has is named', async () => {
    const { port: ssh } = await server();
    const { forwards } = await place();
    await using held = await holdPort();
    await expect(forwards.ensure(LAB, engineAt(ssh), PUBLISHED, held.port, NEVER)).rejects.toMatchObject({
      code: 'port-taken',
      message: `port ${held.port} of this host's 127.0.0.1 is taken`,
    });
  });

  it('to a server that forbids it is told what to set', async () => {
    const started = await startSshServer((channel) => channel.end());
    onTestFinished(() => started[Symbol.asyncDispose]());
    const { forwards, process: own } = await place();
    await expect(forwards.ensure(LAB, engineAt(started.port), PUBLISHED, undefined, NEVER)).rejects.toMatchObject({
      code: 'forward-failed',
      exitCode: 3,
      hint: expect.stringContaining('AllowTcpForwarding yes') as string,
    });
    expect(await isRunning(await own())).toBe(false);
  });

  it('to a server that does not answer is told in the words of ssh', async () => {
    const { forwards } = await place();
    const held = await holdPort();
    await held[Symbol.asyncDispose]();
    await expect(forwards.ensure(LAB, engineAt(held.port), PUBLISHED, undefined, NEVER)).rejects.toMatchObject({
      code: 'forward-failed',
      message: expect.stringMatching(/^no way leads to what core@127\.0\.0\.1 publishes, by ssh:\n.*refused/) as string,
    });
  });

  it('of a cluster whose state is lost is taken away by prune, that of one that is known or worked on never', async () => {
    const { port: ssh } = await server();
    const { forwards, process: own } = await place();
    await forwards.ensure(LAB, engineAt(ssh), PUBLISHED, undefined, NEVER);
    const claimed = (run: string | undefined) => () => Promise.resolve({ run, [Symbol.asyncDispose]: () => Promise.resolve() });
    const nothing = { removed: [], failed: [] };
    expect(await removeLostForwards(forwards, claimed('a'))).toEqual(nothing);
    expect(await removeLostForwards(forwards, () => Promise.resolve(undefined))).toEqual(nothing);
    const owned = await own();
    expect(await isRunning(owned)).toBe(true);
    expect(await removeLostForwards(forwards, claimed('b'))).toEqual({
      removed: ['the ssh that leads to the cluster "lab", whose state is lost'],
      failed: [],
    });
    expect([await isRunning(owned), await forwards.owners()]).toEqual([false, []]);
  });

  it('in a file that is none of ours is told by its name', async () => {
    const { port: ssh } = await server();
    const { forwards, state } = await place();
    const port = await forwards.ensure(LAB, engineAt(ssh), PUBLISHED, undefined, NEVER);
    const file = join(state, 'ssh-forwards/lab.json');
    const text = await readFile(file, 'utf8');
    await writeFile(file, '{}');
    await expect(forwards.owners()).rejects.toMatchObject({ code: 'bad-state-file', facts: { file } });
    await writeFile(file, text);
    await forwards.end('lab');
    expect(await isFree(port)).toBe(true);
  });
});
