import { spawn } from 'node:child_process';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { fileLedger, reapOrphans } from '../../src/host/ledger.ts';
import { pidNamespace } from '../../src/host/processes.ts';
import { removeMappedTree } from '../../src/sandbox/mapped-folder.ts';
import { sandboxReapers } from '../../src/sandbox/reaper.ts';
import type { Sandbox, SandboxRequest, Sandboxes } from '../../src/sandbox/types.ts';
import { HOST_ENVIRONMENT, sandboxContract } from '../fixtures/sandbox-contract.ts';
import { pidOf } from '../fixtures/sandbox-pid.ts';
import { testSandboxes } from '../fixtures/sandboxes.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

/* Sandboxes of namespaces: what all kinds promise, and what these do beyond that. Containers: test/full/part-4/sandboxes.test.ts. */

const CHILD = new URL('../fixtures/sandbox-child.ts', import.meta.url).pathname;
const NEVER = new AbortController().signal;

let tools: string;
let folder: string;
let sandboxes: Sandboxes;

beforeAll(async () => {
  tools = await toolsTree();
  folder = await mkdtemp(join(tmpdir(), 'kvci-sandbox-'));
  sandboxes = testSandboxes(tools, folder, { ...process.env, ...HOST_ENVIRONMENT });
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function request(change: Partial<SandboxRequest> = {}): SandboxRequest {
  return { name: 'test', binds: [], network: 'private', cgroups: false, signal: NEVER, ...change };
}

sandboxContract(() => Promise.resolve({ kind: 'namespaces', sandboxes, tools, folder }));

describe('a sandbox of namespaces', () => {
  let box: Sandbox;

  beforeAll(async () => {
    box = await sandboxes.start(request({ cgroups: true }));
  });

  afterAll(() => box[Symbol.asyncDispose]());

  const output = async (...argv: [string, ...string[]]): Promise<string> => (await box.run(argv)).stdout.trim();

  it('makes us root of all ids and of all rights', async () => {
    expect(await output('id', '-u')).toBe('0');
    expect(await output('grep', 'CapEff', '/proc/self/status')).toMatch(/[13f]f{9}$/);
    const map = await output('cat', '/proc/self/uid_map');
    const counts = map.split('\n').map((line) => Number(line.trim().split(/\s+/)[2]));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(65536);
    await box.run(['sh', '-c', 'touch /tmp/x && chown 65534:65534 /tmp/x']);
  });

  it('has hosts of its host and control groups', async () => {
    expect(await output('sh', '-c', 'test -w /run && cat /etc/hosts')).toBe((await readFile('/etc/hosts', 'utf8')).trim());
    expect(await output('stat', '--file-system', '--format=%T', '/sys/fs/cgroup')).toBe('cgroup2fs');
    await expect(box.run(['ls', '/run/host'])).rejects.toThrow('No such file');
  });

  it('may write everywhere, and leaves the tools image as it is', async () => {
    await box.run(['sh', '-c', 'echo x >/usr/new && rm -r /usr/share/qemu && mkdir /usr/share/qemu && ls /usr/share/qemu']);
    await expect(access(join(tools, 'usr/new'))).rejects.toThrow('ENOENT');
    await access(join(tools, 'usr/share/qemu/bios.bin')).catch(() => access(join(tools, 'usr/share/seabios')));
  });

  it('has no other variables than kvci gives', async () => {
    const { stdout } = await box.run(['env'], { env: { ADDED: 'a b' } });
    expect(stdout.trim().split('\n').toSorted()).toEqual([
      'ADDED=a b',
      'HOME=/root',
      'LANG=C.UTF-8',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'USER=root',
      'http_proxy=http://proxy.example:3128',
    ]);
  });

  it('tells when its pid 1 is killed', async () => {
    await using killed = await sandboxes.start(request());
    const running = killed.run(['sleep', '1000']);
    process.kill(pidOf(killed.record), 'SIGKILL');
    await Promise.all([killed.ended, running].map((end) => expect(end).rejects.toMatchObject({ code: 'sandbox-ended' })));
  });

  it('that cannot mount says what', async () => {
    const binds = [{ host: folder, inside: '/proc/1/x', writable: false }];
    await expect(sandboxes.start(request({ binds }))).rejects.toMatchObject({ code: 'sandbox-failed', message: /\/proc\/1\/x/ });
  });

  it('is not mistaken for a later process of the same pid, nor for one of another pid namespace', async () => {
    const record = { name: 'old', pid: process.pid, startTime: 'other-boot/1', network: 'host' } as const;
    const namespace = await pidNamespace();
    expect(await sandboxes.find({ ...record, namespace })).toBeUndefined();
    await expect(sandboxes.find({ ...record, namespace: 'pid:[1]' })).rejects.toMatchObject({ code: 'sandbox-elsewhere' });
  });
});

it('a sandbox over the host is root of our ids there, with the files of the host', async () => {
  await using box = await sandboxes.startOverHost({ name: 'over-host', signal: NEVER });
  const path = join(folder, 'mapped');
  await box.run(['sh', '-c', 'mkdir "$1" && mkdir -m 700 "$1/x" && touch "$1/x/y" && chown -R 33:33 "$1/x"', 'sh', path]);
  await access(path);
  await removeMappedTree(path, sandboxes, NEVER);
  await expect(access(path)).rejects.toThrow('ENOENT');
});

it('what a killed run has unpacked is found in the ledger and removed', async () => {
  const child = spawn(process.execPath, [CHILD, 'folder', tools, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const paths: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    paths.push(line);
    child.kill('SIGKILL');
  }
  await access(paths[0]!);
  const ledger = fileLedger({ state: join(folder, 'state') });
  const reapers = sandboxReapers(sandboxes, () => Promise.reject(new Error('there is no container')), NEVER);
  await expect(reapOrphans(ledger, reapers)).resolves.toEqual({ removed: [`temporary folder ${paths[0]!}`], failed: [] });
  await expect(access(paths[0]!)).rejects.toThrow('ENOENT');
  expect(await ledger.orphans()).toEqual([]);
});
