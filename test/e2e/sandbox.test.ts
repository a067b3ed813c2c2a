import { spawn } from 'node:child_process';
import { access, constants, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { pidNamespace } from '../../src/host/processes.ts';
import { fileLedger, reapOrphans } from '../../src/host/ledger.ts';
import { sandboxReapers } from '../../src/sandbox/reaper.ts';
import { removeMappedTree } from '../../src/sandbox/mapped-folder.ts';
import type { Sandbox, SandboxRecord, SandboxRequest, Sandboxes } from '../../src/sandbox/types.ts';
import { isMissing } from '../fixtures/needs.ts';
import { noProcess, sleepSeconds } from '../fixtures/processes.ts';
import { pidOf } from '../fixtures/sandbox-pid.ts';
import { testSandboxes } from '../fixtures/sandboxes.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

const CHILD = new URL('../fixtures/sandbox-child.ts', import.meta.url).pathname;
const NEVER = new AbortController().signal;

let tools: string;
let folder: string;
let sandboxes: Sandboxes;

beforeAll(async () => {
  tools = await toolsTree();
  folder = await mkdtemp(join(tmpdir(), 'kvci-sandbox-'));
  sandboxes = testSandboxes(tools, folder, { ...process.env, TOKEN: 'x', http_proxy: 'http://proxy.example:3128' });
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function request(change: Partial<SandboxRequest> = {}): SandboxRequest {
  return { name: 'test', binds: [], network: 'private', cgroups: false, signal: NEVER, ...change };
}

describe('a sandbox', () => {
  let box: Sandbox;

  beforeAll(async () => {
    await mkdir(join(folder, 'own/deep'), { recursive: true });
    await writeFile(join(folder, 'own/file'), 'of the host\n');
    const binds = [
      { host: join(folder, 'own'), inside: '/var/run/a b', writable: false },
      { host: join(folder, 'own/deep'), inside: '/var/run/a b/deep', writable: true },
      { host: join(folder, 'own/file'), inside: '/srv/one', writable: false },
    ];
    box = await sandboxes.start(request({ binds, cgroups: true }));
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

  it('has a userland, devices, processes and hosts of its own', async () => {
    expect(await output('sh', '-c', '. /etc/os-release; echo "$ID $VERSION_ID"')).toBe('debian 13');
    expect(await output('cat', '/proc/1/comm')).toBe('sh');
    expect(await output('head', '-c', '4', '/dev/zero')).toBe('\0\0\0\0');
    expect(await output('sh', '-c', 'test -c /dev/ptmx && test -w /dev/shm && test -w /run && test -w /tmp && echo yes')).toBe('yes');
    expect(await output('cat', '/etc/hosts')).toBe((await readFile('/etc/hosts', 'utf8')).trim());
    expect(await output('stat', '--file-system', '--format=%T', '/sys/fs/cgroup')).toBe('cgroup2fs');
    expect(await output('qemu-img', '--version')).toMatch(/^qemu-img version 10\./);
  });

  it('shows what is bound, and only there may it be written', async () => {
    expect(await output('cat', '/run/a b/file', '/srv/one')).toBe('of the host\nof the host');
    await box.run(['touch', '/run/a b/deep/new']);
    await access(join(folder, 'own/deep/new'));
    for (const path of ['/run/a b/new', '/srv/one']) {
      await expect(box.run(['touch', path])).rejects.toThrow('Read-only file system');
    }
    await expect(box.run(['ls', '/run/host'])).rejects.toThrow('No such file');
  });

  it('leaves the tools image as it is', async () => {
    await box.run(['sh', '-c', 'echo x >/usr/new && rm -r /usr/share/qemu && mkdir /usr/share/qemu && ls /usr/share/qemu']);
    await expect(access(join(tools, 'usr/new'))).rejects.toThrow('ENOENT');
    await access(join(tools, 'usr/share/qemu/bios.bin')).catch(() => access(join(tools, 'usr/share/seabios')));
  });

  it('has a network of its own: loopback, and it is up', async () => {
    expect(await output('ip', '-brief', 'address')).toMatch(/^lo +UNKNOWN +127\.0\.0\.1\/8 ::1\/128$/);
    await box.run(['ip', 'link', 'add', 'br0', 'type', 'bridge']);
    const closed = await access('/dev/net/tun', constants.R_OK | constants.W_OK).catch(() => '/dev/net/tun is closed to this user');
    if (isMissing('tun', closed ?? undefined)) return;
    await box.run(['sh', '-c', 'ip tuntap add tap0 mode tap && ip link set tap0 master br0']);
  });

  it('tells a command nothing of the environment of the host but its proxies', async () => {
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

  it('runs commands as any other place does', async () => {
    expect(await box.run(['sh', '-c', 'exit 7'], { accept: [7] })).toMatchObject({ exitCode: 7, argv: ['sh', '-c', 'exit 7'] });
    await expect(box.run(['sh', '-c', 'echo why >&2; exit 8'])).rejects.toMatchObject({
      message: expect.stringMatching(/exit code 8 on sandbox test:[^]*why/) as string,
      facts: { argv: ['sh', '-c', 'echo why >&2; exit 8'], exitCode: 8 },
    });
    await expect(box.run(['no-such-program'])).rejects.toMatchObject({ code: 'command-missing' });
    await expect(box.run(['sleep', '1000'], { timeoutMs: 100 })).rejects.toMatchObject({ code: 'timed-out' });
    expect((await box.run(['pwd'], { cwd: '/var/tmp' })).stdout).toBe('/var/tmp\n');
    expect((await box.run(['cat'], { stdin: Readable.from(['from ', 'a stream']) })).stdout).toBe('from a stream');
    expect((await box.run(['wc', '-c'], { stdin: 'x'.repeat(1_000_000) })).stdout).toBe('1000000\n');
  });

  it('ends all that a cancelled command has started', async () => {
    const seconds = sleepSeconds();
    const cancel = new AbortController();
    const running = box.run(['sh', '-c', 'sleep "$1" & echo started; wait', 'sh', seconds], {
      signal: cancel.signal,
      onLine: () => {
        cancel.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    await noProcess(seconds);
  });

  it('reaps what is orphaned', async () => {
    await box.run(['sh', '-c', '(sleep 0 &) ; (sleep 0 &)']);
    const zombies = ['sh', '-c', 'while grep -q "^State:.Z" /proc/[0-9]*/status; do :; done'] as const;
    await box.run(zombies, { timeoutMs: 30_000 });
  });
});

describe('the end of a sandbox', () => {
  it('is the end of all in it', async () => {
    const seconds = sleepSeconds();
    const box = await sandboxes.start(request());
    await box.run(['sh', '-c', 'setsid sleep "$1" >/dev/null 2>&1 &', 'sh', seconds]);
    await box[Symbol.asyncDispose]();
    await noProcess(seconds);
    await expect(box.run(['true'])).rejects.toMatchObject({ code: 'sandbox-ended' });
    await box.ended;
  });

  it('is told when its pid 1 is killed', async () => {
    await using box = await sandboxes.start(request());
    const running = box.run(['sleep', '1000']);
    process.kill(pidOf(box.record), 'SIGKILL');
    await Promise.all([box.ended, running].map((end) => expect(end).rejects.toMatchObject({ code: 'sandbox-ended' })));
  });

  it('comes with that of kvci, however it dies', async () => {
    const seconds = sleepSeconds();
    const child = spawn(process.execPath, [CHILD, 'bound', tools, folder, seconds], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: child.stdout })) {
      expect(line).toBe('started');
      child.kill('SIGKILL');
    }
    await noProcess(seconds);
  });

  it('is clean when the start is cancelled or fails', async () => {
    await expect(sandboxes.start(request({ signal: AbortSignal.abort() }))).rejects.toMatchObject({ code: 'cancelled' });
    const binds = [{ host: join(folder, 'nowhere'), inside: '/x', writable: false }];
    await expect(sandboxes.start(request({ binds }))).rejects.toMatchObject({ code: 'bind-missing' });
    const over = [{ host: folder, inside: '/proc/1/x', writable: false }];
    await expect(sandboxes.start(request({ binds: over }))).rejects.toMatchObject({ code: 'sandbox-failed', message: /\/proc\/1\/x/ });
  });
});

describe('a detached sandbox', () => {
  it('outlives kvci, is found by its record and ended with all in it', async () => {
    const seconds = sleepSeconds();
    const child = spawn(process.execPath, [CHILD, 'detached', tools, folder, seconds], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) lines.push(line);
    expect(lines).toHaveLength(1);
    const record = JSON.parse(lines[0]!) as SandboxRecord;

    const box = await sandboxes.find(record);
    expect((await box!.run(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'])).stdout).toContain(`sleep ${seconds} `);
    await box!.end();
    await noProcess(seconds);
    expect(await sandboxes.find(record)).toBeUndefined();
    await expect(box!.run(['true'])).rejects.toMatchObject({ code: 'sandbox-ended' });
    await box!.end();
  });

  it('does not stay when its record cannot be kept', async () => {
    let record: SandboxRecord | undefined;
    const starting = sandboxes.startDetached(request(), (given) => {
      record = given;
      return Promise.reject(new Error('no space'));
    });
    await expect(starting).rejects.toThrow('no space');
    expect(await sandboxes.find(record!)).toBeUndefined();
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
