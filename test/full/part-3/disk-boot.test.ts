import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';

import type { BootedMachine, ListedMachine } from '../../../src/cli/services.ts';
import { kvci, REPOSITORY, run as runProgram, type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { until } from '../../fixtures/traces.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeDisk } from '../../fixtures/vms.ts';

/* Disks booted by the command line, with a state of their own over the cache of whoever runs the tests. */

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let disk: string;
let env: Readonly<Record<string, string>>;

beforeAll(async () => {
  folder = await temporaryFolder();
  env = { KVCI_STATE_DIR: join(folder.path, 'state'), KVCI_RUNTIME_DIR: join(folder.path, 'run') };
  disk = (await nodeDisk('1.31')).path;
});

afterAll(() => folder[Symbol.asyncDispose]());

function run(...args: readonly string[]): Promise<Run> {
  return kvci(args, { cwd: folder.path, env });
}

function data({ code, stdout, stderr }: Run): unknown {
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

async function list(): Promise<readonly ListedMachine[]> {
  const { machines } = data(await run('disk', 'boot', '--list', '--output', 'json')) as { readonly machines: readonly ListedMachine[] };
  return machines;
}

it('one that is kept is entered, listed and ended by others', async () => {
  const boot = ['disk', 'boot', disk, '--keep', '--name', 'lab', '--timeout', '15m', '--output', 'json'];
  const booted = data(await run(...boot)) as BootedMachine;
  expect(booted).toMatchObject({ name: 'lab', firmware: 'uefi', running: true, addresses: { ipv4: '192.168.66.101', ipv6: 'fd00::101' } });
  expect(await list()).toMatchObject([{ name: 'lab', running: true, keep: true, source: disk }]);
  expect(await run('disk', 'ssh', 'lab', '--', 'sh', '-c', 'uname -n; exit 7')).toMatchObject({ code: 7, stdout: 'lab\n' });
  const child = spawn(join(REPOSITORY, 'kvci'), ['disk', 'ssh', 'lab', '--', 'sort', '-r'], {
    env: { ...process.env, ...env },
    stdio: 'pipe',
  });
  child.stdin.end('a\nb\n');
  expect(await text(child.stdout)).toBe('b\na\n');
  expect(await run('disk', 'boot', disk, '--keep', '--name', 'lab')).toMatchObject({ code: 5 });
  expect(await run('disk', 'boot', '--end', 'lab')).toMatchObject({ code: 0, stdout: 'lab has ended.\n' });
  expect(await list()).toEqual([]);
});

it('one that is looked at ends with kvci, and leaves nothing after the next prune', async () => {
  const child = spawn(join(REPOSITORY, 'kvci'), ['disk', 'boot', disk, '--name', 'seen'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
  // Through firmware and boot loader, emulated, beside others.
  await until(() => Promise.resolve(said.includes('Linux version')), 15 * 60_000);
  expect(await list()).toMatchObject([{ name: 'seen', running: true, keep: false }]);
  child.kill('SIGKILL');
  await once(child, 'close');
  await until(async () => (await list())[0]?.running === false);
  expect((await run('prune')).code).toBe(0);
  expect(await list()).toEqual([]);
  expect(await readdir(join(folder.path, 'state/ledger'))).toEqual([]);
});

it('one that cannot come up says why, and keeps its console', async () => {
  const empty = join(folder.path, 'empty.raw');
  await writeFile(empty, Buffer.concat([Buffer.alloc(510), Buffer.from([0x55, 0xaa])]));
  await truncate(empty, 10e6);
  const { code, stdout } = await run('disk', 'boot', empty, '--keep', '--name', 'empty', '--output', 'json');
  const { error } = JSON.parse(stdout) as {
    readonly error: { readonly code: string; readonly facts: { readonly console: string; readonly cause: string } };
  };
  expect({ code, error }).toMatchObject({ code: 1, error: { code: 'machine-not-reachable', facts: { cause: 'no-bootable-device' } } });
  expect(await readFile(error.facts.console, 'utf8')).toContain('BdsDxe');
  expect((await stat(error.facts.console)).mode & 0o077).toBe(0);
  expect((await run('disk', 'boot', '--end', 'empty')).code).toBe(0);
});

const NO_ROOT = isMissing('root', process.getuid?.() === 0 ? undefined : 'only root can hide a device of the host');

it.skipIf(NO_ROOT)('a host without /dev/net/tun is told so, and nothing of the machine stays', async () => {
  const hidden = ['--mount', 'sh', '-c', 'mount -t tmpfs tmpfs /dev/net && exec "$@"', 'sh'];
  const boot = [join(REPOSITORY, 'kvci'), 'disk', 'boot', disk, '--name', 'no-tun', '--output', 'json'];
  const { code, stdout } = await runProgram('unshare', [...hidden, ...boot], { cwd: folder.path, env });
  const { error } = JSON.parse(stdout) as { readonly error: { readonly hint: string } };
  expect({ code, error }).toMatchObject({ code: 3, error: { code: 'no-tun', message: '/dev/net/tun does not exist' } });
  expect(error.hint).toContain('kvci doctor');
  expect(await list()).toEqual([]);
});
