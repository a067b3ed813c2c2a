import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { chooseDirectories } from '../../../src/host/directories.ts';
import { readRecord, recordPath } from '../../../src/sandbox/node-engine-record.ts';
import { kvci, type Run, run, temporaryFolder } from '../../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { killNode } from '../../fixtures/killed-node.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage, type TestNodeImage } from '../../fixtures/node-image.ts';
import { pidOf } from '../../fixtures/sandbox-pid.ts';
import { type StartedKvci, startKvci } from '../../fixtures/started-kvci.ts';
import { until } from '../../fixtures/traces.ts';

/*
 * What goes wrong while a cluster comes up and while it runs, on real clusters: whatever it was, `up` goes on from there and
 * `down` leaves nothing. What is asked for wrongly stands in test/cli/cluster-input.test.ts, what machines do by themselves in
 * container-nodes.test.ts, engines of the host in host-engine-nodes.test.ts.
 */

const NAME = 'kvci-faults';
const MARKER = `/run/kvci-test-${process.pid}`;

/** Emptied by one of the tests: not that of whoever runs them. */
process.env['KVCI_RUNTIME_DIR'] = join(tmpdir(), `kvci-faults-${process.pid}`);

const directories = chooseDirectories({
  home: homedir(),
  xdgCacheHome: process.env['XDG_CACHE_HOME'],
  xdgStateHome: process.env['XDG_STATE_HOME'],
  xdgRuntimeDir: process.env['XDG_RUNTIME_DIR'],
  cache: process.env['KVCI_CACHE_DIR'],
  state: process.env['KVCI_STATE_DIR'],
  runtime: process.env['KVCI_RUNTIME_DIR'],
});

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let image: TestNodeImage;
let before: HostTraces;

const here = kvciIn(() => folder);
const done = wellDone(here);
const asked = (...more: readonly string[]): readonly string[] => [
  'up',
  NAME,
  '--image',
  image.digest,
  '--provider',
  'kind',
  '--output',
  'json',
  ...more,
];
const start = (...args: readonly string[]): StartedKvci => startKvci([...args, '--progress', 'json'], { cwd: folder.path });

/** Until a step has begun. */
const begun = (work: StartedKvci, step: string): Promise<string> => work.said(`"type":"step.start","step":"${step}"`);

const condition = async (): Promise<unknown> =>
  (JSON.parse((await here('status', NAME, '--output', 'json')).stdout) as { readonly condition?: unknown }).condition;

async function nothingIsLeft(): Promise<void> {
  expect(await hostTraces()).toEqual(before);
  expect((await here('status', NAME)).code).toBe(5);
}

/** Kills a node the moment a step on it has begun. */
async function killAt(work: StartedKvci, step: string, node: string): Promise<void> {
  await begun(work, step);
  await done('ssh', node, '--cluster', NAME, '--', 'touch', MARKER);
  await killNode(MARKER);
}

/** A copy of a folder, of links where it is on the same file system. */
async function shared(from: string, to: string): Promise<void> {
  if ((await run('cp', ['--archive', '--link', from, to])).code === 0) return;
  await rm(to, { recursive: true, force: true });
  expect((await run('cp', ['--archive', from, to])).code).toBe(0);
}

/** Host pids of processes whose command line begins so. */
async function processes(command: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, at) => lines[at]?.replaceAll('\0', ' ').startsWith(command)).map(Number);
}

beforeAll(async () => {
  folder = await temporaryFolder();
  image = await nodeImage('1.36');
  before = await hostTraces();
});

afterAll(async () => {
  await here('down', NAME);
  await folder[Symbol.asyncDispose]();
  await rm(directories.runtime, { recursive: true, force: true });
});

describe('a first up', () => {
  it.each(['network', 'boot node02', 'certificates node01', 'init node01', 'join node02'])(
    'that is cancelled at "%s" ends with 130 and leaves nothing',
    async (step) => {
      const up = start(...asked('--nodes', '2'));
      await begun(up, step);
      up.child.kill('SIGINT');
      const { code, stdout } = await up.ended();
      expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 130, error: { code: 'cancelled', exitCode: 130 } });
      await nothingIsLeft();
    },
  );

  it.each(['boot node01', 'init node01'])('that "down" meets at "%s" ends with 143; both leave nothing', async (step) => {
    const up = start(...asked('--nodes', '2'));
    await begun(up, step);
    await done('down', NAME);
    expect((await up.ended()).code).toBe(143);
    await nothingIsLeft();
  });

  it.each(['network', 'boot node01', 'init node01'])('that is killed at "%s" is taken away by "down"', async (step) => {
    const up = start(...asked('--nodes', '2'));
    await begun(up, step);
    up.child.kill('SIGKILL');
    await up.ended();
    await done('down', NAME);
    await nothingIsLeft();
  });

  it('that gets too little time ends with 4 and leaves nothing', async () => {
    const { code, stdout } = await here(...asked('--timeout', '2s'));
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 4,
      error: { code: 'up-timed-out', exitCode: 4, hint: expect.stringContaining('--timeout') as string },
    });
    await nothingIsLeft();
  });

  it('whose node dies during init says so and leaves nothing', async () => {
    const up = start(...asked());
    await killAt(up, 'init node01', 'node01');
    const { code, stdout } = await up.ended();
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 1,
      error: { code: 'node-died', message: expect.stringContaining('kubeadm init on node01 failed: node01 ') as string },
    });
    await nothingIsLeft();
  });

  it('whose engine is killed says so and leaves nothing', async () => {
    const up = start(...asked());
    await begun(up, 'init node01');
    const services = await processes('podman system service');
    expect(services).toHaveLength(1);
    for (const pid of services) process.kill(pid, 'SIGKILL');
    const { code, stdout } = await up.ended();
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 1, error: { code: 'engine-lost' } });
    await nothingIsLeft();
  });
});

describe('an up that is killed again and again', () => {
  it.each(['network', 'boot node01', 'certificates node01', 'init node01', 'join node02', 'configure', 'ready'])(
    'at "%s" leaves what the next one goes on from',
    async (step) => {
      const up = start(...asked('--nodes', '2'));
      await begun(up, step);
      up.child.kill('SIGKILL');
      expect(await up.ended()).toMatchObject({ code: null, signal: 'SIGKILL' });
      expect(await condition()).toBe('half-made');
    },
  );

  it('comes to its end, also when two ask for it at once', async () => {
    const both = [start(...asked('--nodes', '2')), start(...asked('--nodes', '2'))];
    const results = await Promise.all(both.map((up) => up.ended()));
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    expect(results.map(({ stdout }) => (JSON.parse(stdout) as { readonly reused: boolean }).reused).toSorted()).toEqual([false, true]);
    expect(both.filter(({ lines }) => lines.some((line) => line.includes('another kvci works on the cluster')))).toHaveLength(1);
    expect(await condition()).toBe('ready');
  });
});

describe('a Ready cluster', () => {
  const up = async (): Promise<{ readonly reused: boolean; readonly api: { readonly port: number } }> =>
    JSON.parse(await done(...asked())) as Awaited<ReturnType<typeof up>>;

  beforeEach(async () => {
    await up();
  });

  it('whose API server is killed is Ready again', async () => {
    await done('ssh', 'node01', '--cluster', NAME, '--', 'pkill', '-KILL', 'kube-apiserver');
    expect(['unreachable', 'not-ready', 'ready']).toContain(await condition());
    await up();
    expect(await condition()).toBe('ready');
  });

  it('whose worker is killed is not Ready at once, and Ready again', async () => {
    await done('ssh', 'node02', '--cluster', NAME, '--', 'touch', MARKER);
    await killNode(MARKER);
    const { code, stdout } = await here('status', NAME, '--output', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ condition: 'not-ready', problems: ['node node02: does not run'] });
    expect((await up()).reused).toBe(false);
    expect(await condition()).toBe('ready');
  });

  it('whose control plane is killed is out of reach, and Ready again', async () => {
    await done('ssh', 'node01', '--cluster', NAME, '--', 'touch', MARKER);
    await killNode(MARKER);
    expect(await condition()).toBe('unreachable');
    expect((await here('ssh', 'node01', '--cluster', NAME, '--', 'true')).code).toBe(5);
    expect((await up()).reused).toBe(false);
  });

  it('whose engine is killed works on', async () => {
    for (const pid of await processes('podman system service')) process.kill(pid, 'SIGKILL');
    expect((await up()).reused).toBe(true);
    expect(await done('ssh', 'node02', '--cluster', NAME, '--', 'hostname')).toBe('node02\n');
  });

  it('survives a reboot of its host: nothing runs any more, the runtime folder is empty, the API keeps its port', async () => {
    const { api } = await up();
    const record = await readRecord(recordPath(directories));
    process.kill(pidOf(record!.sandbox), 'SIGKILL');
    await until(() => Promise.resolve(!existsSync(`/proc/${pidOf(record!.sandbox)}/root`)));
    await rm(directories.runtime, { recursive: true, force: true });
    expect(await condition()).toBe('unreachable');
    expect(await up()).toMatchObject({ reused: false, api });
    expect(await condition()).toBe('ready');
  });

  it('one more node dies while it joins: "node add" says so, "up" brings it', async () => {
    const adding = start('node', 'add', '--cluster', NAME, '--output', 'json');
    await killAt(adding, 'join node03', 'node03');
    const { code, stdout } = await adding.ended();
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 1,
      error: { code: 'node-died', message: expect.stringContaining('kubeadm join on node03 failed: node03 ') as string },
    });
    await up();
    expect(await condition()).toBe('ready');
    expect(JSON.parse(await done('list', '--output', 'json'))).toMatchObject({ clusters: [{ name: NAME, nodes: [{}, {}, {}] }] });
  });

  it('whose state file is lost is taken away by "prune", the engine with it', async () => {
    await rm(join(directories.state, 'clusters', NAME, 'state.json'));
    const { removed } = JSON.parse(await done('prune', '--output', 'json')) as { readonly removed: readonly string[] };
    expect(removed).toEqual(expect.arrayContaining([`nodes of the cluster "${NAME}", whose state is lost`]));
    await rm(join(directories.state, 'clusters', NAME), { recursive: true });
    await nothingIsLeft();
  });
});

describe('a full disk', () => {
  const problem = process.getuid?.() === 0 ? undefined : 'a file system of its own needs root';

  it.skipIf(isMissing('root', problem))('where nodes are stored is named; with room there the next one comes up', async () => {
    const env = {
      KVCI_CACHE_DIR: join(folder.path, 'cache'),
      KVCI_STATE_DIR: join(folder.path, 'state'),
      KVCI_RUNTIME_DIR: join(folder.path, 'run'),
    };
    const nodes = join(env.KVCI_CACHE_DIR, 'nodes');
    await mkdir(nodes, { recursive: true });
    await mkdir(join(env.KVCI_CACHE_DIR, 'artifacts'));
    await shared(image.store, join(env.KVCI_CACHE_DIR, 'images'));
    await shared(join(directories.cache, 'artifacts/tools'), join(env.KVCI_CACHE_DIR, 'artifacts/tools'));
    const own = (...args: readonly string[]): Promise<Run> => kvci(args, { cwd: folder.path, env });
    expect((await run('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', nodes])).code).toBe(0);
    try {
      const { code, stdout } = await own(...asked());
      expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 3, error: { code: 'disk-full', exitCode: 3 } });
      expect((await own('status', NAME)).code).toBe(5);
    } finally {
      expect((await run('umount', [nodes])).code).toBe(0);
    }
    const again = await own(...asked());
    expect(again.code, again.stderr).toBe(0);
    expect((await own('down', NAME)).code).toBe(0);
    expect((await own('cache', 'prune', '--keep', '0')).code).toBe(0);
    expect(await hostTraces()).toEqual(before);
  });
});
