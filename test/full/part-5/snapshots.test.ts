import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, copyFile, open, readdir, rename, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { systemClock } from '../../../src/host/clock.ts';
import { chooseDirectories } from '../../../src/host/directories.ts';
import type { SnapshotRecord } from '../../../src/snapshot/record.ts';
import { SnapshotStore } from '../../../src/snapshot/store.ts';
import { REPOSITORY, run, temporaryFolder } from '../../cli/run-kvci.ts';
import { clusterFigures } from '../../fixtures/cluster-figures.ts';
import { flipBit } from '../../fixtures/flip-bit.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';
import { pauseImageOf } from '../../fixtures/own-program-pods.ts';
import { podReachesPod } from '../../fixtures/pod-traffic.ts';
import { draws } from '../../fixtures/seeded-draws.ts';
import { KUBECTL, servedClusters, soon } from '../../fixtures/served-cluster.ts';
import { startKvci } from '../../fixtures/started-kvci.ts';
import { openTun, processesOf } from '../../fixtures/users-machines.ts';

/*
 * Clusters of two nodes that are saved, come back as several, go back, are carried elsewhere, damaged, killed and old. The machines alone
 * are in saved-machines.test.ts. KVCI_TEST_RESETS=100 takes as many resets in a row, KVCI_TEST_KILLS=20 as many kills, and
 * KVCI_TEST_SEED=N draws as a run did that has told of its seed.
 */

const LATER = join(REPOSITORY, 'test/fixtures/later-kvci.ts');
const RESETS = Number(process.env['KVCI_TEST_RESETS'] ?? '5');
const KILLS = Number(process.env['KVCI_TEST_KILLS'] ?? '4');
const SEED = Number(process.env['KVCI_TEST_SEED'] ?? randomInt(2 ** 31));
const NODES = ['node01', 'node02'] as const;
const CLUSTERS = ['kvci-snap', 'kvci-one', 'kvci-two', 'kvci-aged', 'kvci-far', 'kvci-one-1', 'kvci-cold'];
const SNAPSHOTS = ['kvci-old', 'kvci-ready', 'kvci-far', 'kvci-killed'];

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let before: HostTraces;
let pause: string;
const here = kvciIn(() => folder);
const done = wellDone(here);
const { on, kubectl, api: apiOf, serve, answerOf, podsWork } = servedClusters(done, NODES, () => pause);
// To the clock of this host, which stays, a certificate that is made later is not valid yet.
const aged = servedClusters(done, NODES, () => pause, { anyCertificate: true });
const snapshots = new SnapshotStore(
  chooseDirectories({
    home: homedir(),
    xdgStateHome: process.env['XDG_STATE_HOME'],
    xdgCacheHome: process.env['XDG_CACHE_HOME'],
    state: process.env['KVCI_STATE_DIR'],
    cache: process.env['KVCI_CACHE_DIR'],
  }),
);

beforeAll(async () => {
  process.stdout.write(`KVCI_TEST_SEED=${SEED}\n`);
  folder = await temporaryFolder();
  const { digest } = await nodeImage('1.36');
  before = await hostTraces();
  await done('up', 'kvci-snap', '--image', digest, '--provider', 'vm', '--nodes', '2', '--timeout', '40m');
  pause = await pauseImageOf((...argv) => here('ssh', 'node01', '--cluster', 'kvci-snap', '--', ...argv));
  await serve('kvci-snap');
  // Nodes of this one do not follow their machine's clock: it is to be older than it is.
  for (const node of NODES) await on('kvci-snap', node, 'systemd-run', '--unit', 'kvci-clock', 'sleep', 'infinity');
  await done('snapshot', 'save', 'kvci-snap', '--name', 'kvci-old');
  for (const node of NODES) await on('kvci-snap', node, 'systemctl', 'stop', 'kvci-clock');
  await done('snapshot', 'save', 'kvci-snap', '--name', 'kvci-ready', '--stop');
  await done('down', 'kvci-snap');
});

afterAll(async () => {
  for (const cluster of CLUSTERS) await here('down', cluster);
  for (const snapshot of SNAPSHOTS) await here('snapshot', 'rm', snapshot);
  await folder[Symbol.asyncDispose]();
});

describe('clusters of one snapshot', () => {
  beforeAll(async () => {
    await done('up', 'kvci-one', '--from-snapshot', 'kvci-ready');
    await done('up', 'kvci-two', '--from-snapshot', 'kvci-ready');
  });

  it('are Ready side by side, with what was there, and told apart', async () => {
    const ports = new Set<string>();
    for (const cluster of ['kvci-one', 'kvci-two']) {
      const api = await apiOf(cluster);
      const { nodes, pods } = await api.view(soon());
      expect(nodes.map(({ name, ready }) => [name, ready]).toSorted()).toEqual(NODES.map((node) => [node, true]));
      expect(pods.some(({ name, ready }) => name.startsWith('before-') && ready)).toBe(true);
      expect(await answerOf(cluster)).toBe('hello\n');
      await api.untilConfigMap({ namespace: 'kube-system', name: 'kvci-snapshot' }, (data) => data['cluster'] === cluster, soon());
      ports.add(/server: \S+/.exec(await done('kubeconfig', cluster))?.[0] ?? '');
    }
    expect(ports.size).toBe(2);
  });

  it('start pods on each node, whose tokens count, and which reach each other', async () => {
    await podsWork('kvci-one', 'after');
    await podReachesPod({
      api: await apiOf('kvci-one'),
      on: (node, ...argv) => here('ssh', node, '--cluster', 'kvci-one', '--', ...argv),
      families: ['ipv4', 'ipv6'],
      from: 'node01',
      to: 'node02',
    });
  });

  it('have the right time, and nothing that is held back', async () => {
    const idle = 'cat /run/kvci-behind; grep -lx 1 /sys/fs/cgroup/*.slice/cpu.idle /sys/fs/cgroup/*.slice/*/cpu.idle; true';
    for (const node of NODES) {
      await expect.poll(() => on('kvci-two', node, 'sh', '-c', idle), { timeout: 60_000 }).toBe('');
      expect(Math.abs(Number(await on('kvci-two', node, 'date', '+%s')) * 1000 - Date.now())).toBeLessThan(60_000);
      expect(await on('kvci-two', node, 'sh', '-c', 'ps -o stat= -p "$(systemctl show -p MainPID --value kubelet)"')).not.toMatch(/^T/);
    }
  });

  it('are found Ready, and give way to no other', async () => {
    expect(JSON.parse(await done('up', 'kvci-two', '--from-snapshot', 'kvci-ready', '--output', 'json'))).toMatchObject({ reused: true });
    expect((await here('up', 'kvci-two', '--from-snapshot', 'kvci-old')).code).toBe(5);
  });

  it(`go back ${RESETS} times in a row, and nothing piles up`, async () => {
    // What is asked of an API right after a reset takes long beside another control plane that is emulated.
    await done('down', 'kvci-one');
    await done('reset', 'kvci-two');
    const first = await clusterFigures('kvci-two');
    const api = await apiOf('kvci-two');
    const gone = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gone' } };
    for (let round = 0; round < RESETS; round += 1) {
      await api.apply(gone, soon());
      await done('reset', 'kvci-two');
      await expect(api.merge(gone, soon())).rejects.toMatchObject({ code: 'api-refused', facts: { status: 404 } });
    }
    const last = await clusterFigures('kvci-two');
    process.stdout.write(`${RESETS} resets: ${JSON.stringify(first.megabytes)} MB before, ${JSON.stringify(last.megabytes)} MB after\n`);
    expect({ ...last, megabytes: undefined }).toEqual({ ...first, megabytes: undefined });
    // What a cluster writes by itself in a minute or two is all that may differ.
    expect(last.megabytes.memory).toBeLessThan(first.megabytes.memory * 1.5 + 200);
    expect(last.megabytes.disk).toBeLessThan(first.megabytes.disk * 1.1 + 100);
    await done('down', 'kvci-two');
  });

  it('are copied as they are, and go back to what they came from after that', async () => {
    await done('up', 'kvci-one', '--from-snapshot', 'kvci-ready');
    await kubectl('kvci-one', 'create', 'namespace', 'copied');
    await done('fork', 'kvci-one');
    expect(await kubectl('kvci-one-1', 'get', 'namespaces')).toContain('copied');
    expect(await done('snapshot', 'list')).not.toContain('fork-');
    await done('down', 'kvci-one-1');
    await done('reset', 'kvci-one');
    expect(await kubectl('kvci-one', 'get', 'namespaces')).not.toContain('copied');
  });

  it('cannot be saved once they are stopped', async () => {
    await done('stop', 'kvci-one');
    expect((await here('snapshot', 'save', 'kvci-one')).code).toBe(5);
    await done('down', 'kvci-one');
  });

  it('boot from their disks alone, whose frozen ones stay as they are', async () => {
    await done('up', 'kvci-cold', '--from-snapshot', 'kvci-ready', '--cold', '--timeout', '40m');
    expect(await answerOf('kvci-cold')).toBe('hello\n');
    await done('down', 'kvci-cold');
    // Whatever was written meanwhile would be found here.
    await done('up', 'kvci-cold', '--from-snapshot', 'kvci-ready', '--fresh-identity');
    await podsWork('kvci-cold', 'fresh');
    await done('down', 'kvci-cold');
  });
});

describe('a snapshot that is old', () => {
  it.each([
    ['a day', 1],
    ['a month', 30],
    ['eleven months', 335],
  ])('of %s comes up Ready, and pods start', async (_what, days) => {
    const up = await run(process.execPath, [LATER, String(days), 'up', 'kvci-aged', '--from-snapshot', 'kvci-old'], { cwd: folder.path });
    expect(up.code, up.stderr).toBe(0);
    for (const node of NODES) {
      expect(Math.round((Number(await on('kvci-aged', node, 'date', '+%s')) - Date.now() / 1000) / (24 * 60 * 60))).toBe(days);
    }
    expect(await answerOf('kvci-aged')).toBe('hello\n');
    await aged.podsWork('kvci-aged', 'later');
    await done('down', 'kvci-aged');
  });
});

describe('a snapshot that is carried elsewhere', () => {
  it.skipIf(isMissing('root', userProblem()))('comes up there, of another user, with keys of its own', async () => {
    const file = join(folder.path, 'ready.kvci');
    await done('snapshot', 'export', 'kvci-ready', file);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await using _tun = await openTun();
    await using user = await ordinaryUser();
    const theirs = join(user.home, 'ready.kvci');
    await copyFile(file, theirs);
    const [uid = 0, gid = 0] = (await user.run(['sh', '-c', 'id -u; id -g'])).stdout.split('\n').map(Number);
    await chown(theirs, uid, gid);
    const kvci = async (...words: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await user.run([join(user.home, 'kvci', 'kvci'), ...words]);
      expect(code, `kvci ${words.join(' ')}: ${stderr}${stdout}`).toBe(0);
      return stdout;
    };
    await kvci('snapshot', 'import', 'ready.kvci', '--name', 'kvci-far');
    await kvci('up', 'kvci-far', '--from-snapshot', 'kvci-far');
    for (const node of NODES) expect(await kvci('ssh', node, '--cluster', 'kvci-far', '--', 'hostname')).toBe(`${node}\n`);
    expect(await kvci('ssh', 'node01', '--cluster', 'kvci-far', '--', ...KUBECTL, 'get', 'nodes')).toMatch(
      /node01\s+Ready[^]*node02\s+Ready/,
    );
    // What the file holds is known to whoever has it: none of that leads in.
    const keysNow = await kvci('ssh', 'node01', '--cluster', 'kvci-far', '--', 'cat', '/run/kvci/authorized_keys');
    const record = await snapshots.require('kvci-ready');
    expect(record.machines.record).not.toContain(keysNow.trim().split(' ')[1]);
    expect((await user.run([join(user.home, 'kvci', 'kvci'), 'snapshot', 'rm', 'kvci-far'])).code).toBe(5);
    await kvci('down', 'kvci-far');
    await kvci('snapshot', 'rm', 'kvci-far');
    expect(await processesOf(user)).toEqual([]);
  });
});

describe('a snapshot that is damaged', () => {
  let record: SnapshotRecord;
  const refused = async (): Promise<void> => {
    const { code, stdout } = await here('up', 'kvci-two', '--from-snapshot', 'kvci-ready', '--output', 'json');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'snapshot-damaged' } });
    expect(code).toBe(1);
    expect(await done('list')).not.toContain('kvci-two');
  };

  beforeAll(async () => {
    record = await snapshots.require('kvci-ready');
  });

  it('in both forms of any of its files is refused before anything starts', async () => {
    const draw = draws(SEED);
    for (const { path, size, chunks } of record.files) {
      const place = join(snapshots.folder(record), path);
      const at = draw(size);
      // The kept form of any part of that file, wherever the other damage is.
      const kept = chunks.filter((digest) => digest !== null);
      const digest = kept[draw(kept.length)];
      if (digest === undefined) continue;
      const packed = snapshots.chunks.path(digest);
      const inPacked = draw((await stat(packed)).size);
      const told = `${path}: byte ${at}, and byte ${inPacked} of ${packed}`;
      const undo = [await flipBit(place, at, draw(8)), await flipBit(packed, inPacked, draw(8))];
      try {
        await refused();
      } catch (error) {
        throw new Error(`KVCI_TEST_SEED=${SEED}: ${told}`, { cause: error });
      } finally {
        for (const one of undo) await one();
      }
    }
  });

  it('in the form that machines are started from is made anew of the other', async () => {
    const draw = draws(SEED + 1);
    const file = record.files[draw(record.files.length)];
    if (file === undefined) throw new Error('a snapshot without files');
    await flipBit(join(snapshots.folder(record), file.path), draw(file.size), draw(8));
    const up = await here('up', 'kvci-two', '--from-snapshot', 'kvci-ready');
    expect(up.code, up.stderr).toBe(0);
    expect(up.stderr).toContain('made anew of its kept chunks');
    expect(await answerOf('kvci-two')).toBe('hello\n');
    await done('down', 'kvci-two');
  });

  it('half-written, truncated or without a file is refused, too', async () => {
    const [first] = record.files;
    const digest = first?.chunks.find((one) => one !== null) ?? undefined;
    if (first === undefined || digest === undefined) throw new Error('a snapshot without files');
    const packed = snapshots.chunks.path(digest);
    await rename(packed, `${packed}.away`);
    const place = join(snapshots.folder(record), first.path);
    await rename(place, `${place}.away`);
    try {
      await refused();
    } finally {
      await rename(`${packed}.away`, packed);
    }
    await using _back = { [Symbol.asyncDispose]: () => rename(`${place}.away`, place) };
    await using file = await open(packed, 'r+');
    const { size } = await file.stat();
    const bytes = Buffer.alloc(size);
    await file.read(bytes, 0, size, 0);
    await file.truncate(Math.floor(size / 2));
    try {
      await refused();
    } finally {
      await file.write(bytes, 0, size, 0);
    }
  });
});

describe('a restore that is killed', () => {
  it.each(['restore', 'api', 'write'])('in its step "%s" leaves what down removes', async (step) => {
    const up = startKvci(['up', 'kvci-two', '--from-snapshot', 'kvci-ready', '--progress', 'json'], { cwd: folder.path });
    await up.said(`"step":"${step}"`);
    up.child.kill('SIGKILL');
    await up.ended();
    await done('down', 'kvci-two');
    expect(await done('list')).not.toContain('kvci-two');
  });

  it(`at ${KILLS} drawn instants leaves what down removes, and no snapshot that is written to`, async () => {
    const draw = draws(SEED + 2);
    for (let round = 0; round < KILLS; round += 1) {
      const up = startKvci(['up', 'kvci-two', '--from-snapshot', 'kvci-ready'], { cwd: folder.path });
      await systemClock.wait(draw(5_000));
      up.child.kill('SIGKILL');
      await up.ended();
      // Whoever starts what is left must not write to what others have, too; whether it comes up is not asked.
      if (round % 2 === 1) await here('start', 'kvci-two', '--timeout', '20s');
      await here('down', 'kvci-two');
      expect(await done('list')).not.toContain('kvci-two');
    }
    await done('up', 'kvci-two', '--from-snapshot', 'kvci-ready');
    expect(await answerOf('kvci-two')).toBe('hello\n');
  });
});

describe('a save and a reset that are killed', () => {
  it(`at ${KILLS} drawn instants leave a cluster that runs and goes back, and a whole snapshot or none`, async () => {
    const draw = draws(SEED + 3);
    for (let round = 0; round < KILLS; round += 1) {
      const save = startKvci(['snapshot', 'save', 'kvci-two', '--name', 'kvci-killed'], { cwd: folder.path });
      await systemClock.wait(draw(40_000));
      save.child.kill('SIGKILL');
      await save.ended();
      await podsWork('kvci-two', `round-${round}`);
      await done('prune');
      if (existsSync(snapshots.path('kvci-killed'))) {
        await done('up', 'kvci-far', '--from-snapshot', 'kvci-killed');
        expect(await answerOf('kvci-far')).toBe('hello\n');
        await done('down', 'kvci-far');
        await done('snapshot', 'rm', 'kvci-killed');
      }
      const reset = startKvci(['reset', 'kvci-two'], { cwd: folder.path });
      await systemClock.wait(draw(4_000));
      reset.child.kill('SIGKILL');
      await reset.ended();
      await done('reset', 'kvci-two');
      expect(await answerOf('kvci-two')).toBe('hello\n');
    }
    await done('down', 'kvci-two');
  });
});

it('leaves nothing on the host', async () => {
  await done('snapshot', 'rm', 'kvci-old', 'kvci-ready');
  await done('prune');
  expect(await hostTraces()).toEqual(before);
  expect(existsSync(snapshots.files) ? await readdir(snapshots.files) : []).toEqual([]);
});
