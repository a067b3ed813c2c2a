import { spawn } from 'node:child_process';
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { BuiltDisk } from '../../../src/cli/services.ts';
import type { Digest } from '../../../src/core/digest.ts';
import { DISK_KIND } from '../../../src/disk/build-disk.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { chooseDirectories } from '../../../src/host/directories.ts';
import { digestFile } from '../../../src/host/files.ts';
import { fileLocks } from '../../../src/host/locks.ts';
import { createArtifactStore } from '../../../src/host/store/artifact-store.ts';
import { kvci, REPOSITORY, run, type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { type OrdinaryUser, ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';
import { until } from '../../fixtures/traces.ts';

/* A real node image through the native converter, by the command line, and the disk booted by its own boot loader. */

const { cache } = chooseDirectories({ home: homedir(), xdgCacheHome: process.env['XDG_CACHE_HOME'], cache: process.env['KVCI_CACHE_DIR'] });
const DISKS = join(cache, 'artifacts/disk');

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let image: Digest;
const made = new Set<Digest>();

function answer(ran: Run): unknown {
  expect(ran.code, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout);
}

/** For a hang: a minute under emulation, many where other machines are busy. */
const BOOT_DEADLINE_MS = 20 * 60_000;

/** Of another key in every run, so that it is not there yet. */
const MARK = `kvci.test=${process.pid}`;

function build(...more: readonly string[]): readonly string[] {
  return ['disk', 'build', image, '--converter', 'native', ...more, '--output', 'json'];
}

async function disk(...more: readonly string[]): Promise<BuiltDisk> {
  const built = answer(await kvci(build(...more), { cwd: folder.path })) as BuiltDisk;
  made.add(built.key);
  return built;
}

beforeAll(async () => {
  folder = await temporaryFolder();
  image = (await nodeImage('1.31')).digest;
});

afterAll(async () => {
  const store = createArtifactStore({ directories: { cache }, locks: fileLocks(systemClock), clock: systemClock });
  for (const artifact of await store.list()) if (artifact.kind === DISK_KIND && made.has(artifact.key)) await store.remove(artifact);
  await folder[Symbol.asyncDispose]();
});

describe('kvci disk build', () => {
  it('asked for twice at once makes one disk', async () => {
    const [one, other] = await Promise.all([disk('--karg', `${MARK}.twice`), disk('--karg', `${MARK}.twice`)]);
    expect(other.path).toBe(one.path);
    const again = await disk('--karg', `${MARK}.twice`);
    expect(again).toEqual({ ...one, reused: true });
    const { size } = await digestFile(one.path);
    expect(size).toBeLessThan(400e6);
  });

  it('killed in the middle leaves nothing after the next prune, and the next one works', async () => {
    const child = spawn(join(REPOSITORY, 'kvci'), build('--karg', `${MARK}.killed`), { cwd: folder.path, stdio: 'ignore' });
    await until(async () => (await halfMade()).length > 0);
    child.kill('SIGKILL');
    expect((await kvci(['prune'], { cwd: folder.path })).code).toBe(0);
    const made = await disk('--karg', `${MARK}.killed`);
    expect(made.reused).toBe(false);
    expect(await halfMade()).toEqual([]);
  });

  async function halfMade(): Promise<readonly string[]> {
    const inDisks = await readdir(DISKS).catch(() => []);
    const partial = inDisks.filter((name) => name.endsWith('.partial'));
    return (await Promise.all(partial.map((name) => readdir(join(DISKS, name)).catch(() => [])))).flat();
  }

  it.skipIf(isMissing('root', process.getuid?.() === 0 ? undefined : 'a small file system takes root'))(
    'a full folder for the copy is told, and nothing is left in it',
    async () => {
      const small = join(folder.path, 'small');
      await mkdir(small);
      expect((await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', small])).code).toBe(0);
      try {
        const args = ['disk', 'build', image, '--converter', 'native', '--output', join(small, 'node.qcow2')];
        const full = await kvci(args, { cwd: folder.path });
        expect({ code: full.code, stdout: full.stdout }).toEqual({ code: 3, stdout: '' });
        expect(full.stderr).toContain('no space left');
        expect(await readdir(small)).toEqual([]);
      } finally {
        await run('umount', [small]);
      }
    },
  );
});

describe.skipIf(isMissing('user', userProblem()))('the same image, another user', () => {
  let user: OrdinaryUser;

  beforeAll(async () => {
    user = await ordinaryUser();
    const archive = join(folder.path, 'image.tar');
    expect((await kvci(['image', 'save', image, archive], { cwd: folder.path })).code).toBe(0);
    await copyFile(archive, join(user.home, 'image.tar'));
  });

  afterAll(() => user[Symbol.asyncDispose]());

  it('gives the same bytes of the raw disk: another folder, umask, time zone and number of cores, and no rights', async () => {
    const theirs = (...argv: readonly string[]): Promise<Run> =>
      user.run(['sh', '-c', 'umask 077; exec taskset --cpu-list 0 kvci/kvci "$@"', 'sh', ...argv], { TZ: 'Asia/Tokyo', LANG: 'C' });
    expect(await theirs('image', 'load', 'image.tar')).toMatchObject({ code: 0 });
    const mine = await disk('--format', 'raw');
    const their = answer(await theirs(...build('--format', 'raw'))) as BuiltDisk;
    expect(their.path.startsWith(user.home)).toBe(true);
    const [one, other] = await Promise.all([mine, their].map(({ path }) => digestFile(path)));
    expect(other).toEqual(one);
    expect(their.directBoot?.arguments).toBe(mine.directBoot?.arguments);
  });
});

describe('the boot loader of a disk', () => {
  const name = `kvci-test-${process.pid}`;
  const ssh = async (...argv: readonly string[]): Promise<string> => {
    const ran = await kvci(['disk', 'ssh', name, '--', ...argv], { cwd: folder.path });
    expect(ran.code, `${argv.join(' ')}: ${ran.stderr}`).toBe(0);
    return ran.stdout;
  };

  beforeAll(async () => {
    const boot = ['disk', 'boot', image, '--keep', '--name', name, '--firmware', 'uefi', '--timeout', '20m'];
    const ran = await kvci(boot, { cwd: folder.path });
    expect(ran.code, ran.stderr).toBe(0);
  });

  afterAll(() => kvci(['disk', 'boot', '--end', name], { cwd: folder.path }));

  it('starts the deployment that was made, with /usr read-only and no unit that failed', async () => {
    expect(await ssh('ostree', 'admin', 'status')).toMatch(/^\* kvci [0-9a-f]{64}\.0\n(.*\n)* {4}origin refspec: kvci\/node/m);
    expect(await ssh('findmnt', '--noheadings', '--output', 'OPTIONS', '/usr')).toMatch(/^ro\b/);
    expect(await ssh('systemctl', '--failed', '--no-legend', '--plain')).toBe('');
    expect(await ssh('systemctl', 'show', '--property=ConditionResult', 'kubelet.service')).toBe('ConditionResult=no\n');
    expect(await ssh('ostree', 'fsck', '--repo=/sysroot/ostree/repo')).toContain('no errors found');
  });

  it('starts what OSTree deploys later', async () => {
    await ssh('ostree', 'admin', 'deploy', 'kvci/node');
    expect(await ssh('grep', '--count', '^LABEL', '/boot/syslinux/syslinux.cfg')).toBe('2\n');
    const boot = await ssh('cat', '/proc/sys/kernel/random/boot_id');
    // It takes the connection with it.
    await kvci(['disk', 'ssh', name, '--', 'systemctl', 'reboot'], { cwd: folder.path });
    await untilBootedAfter(boot);
    expect(await ssh('ostree', 'admin', 'status')).toMatch(/^\* kvci [0-9a-f]{64}\.1\n/m);
  });

  async function untilBootedAfter(boot: string): Promise<void> {
    const deadline = systemClock.monotonic() + BOOT_DEADLINE_MS;
    while (systemClock.monotonic() < deadline) {
      const ran = await kvci(['disk', 'ssh', name, '--', 'cat', '/proc/sys/kernel/random/boot_id'], { cwd: folder.path });
      if (ran.code === 0 && ran.stdout !== boot) return;
    }
    throw new Error(`${name} did not come back from its reboot`);
  }
});
