import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { readRecord, recordPath } from '../../../src/sandbox/node-engine-record.ts';
import { kvci, type Run, run } from '../../cli/run-kvci.ts';
import { begun, clusterFaults, EVERY_POINT, faultyCluster, type FaultyProvider } from '../../fixtures/cluster-faults.ts';
import { hostTraces } from '../../fixtures/host-traces.ts';
import { killNode } from '../../fixtures/killed-node.ts';
import { isMissing } from '../../fixtures/needs.ts';

/*
 * Faults of clusters of containers. What is asked for wrongly stands in test/cli/cluster-input.test.ts, what machines do by themselves
 * in container-nodes.test.ts, engines of the host in host-engine-nodes.test.ts.
 */

const NAME = 'kvci-faults';
const MARKER = `/run/kvci-test-${process.pid}`;

const PROVIDER: FaultyProvider = {
  name: NAME,
  flags: ['--provider', 'kind'],
  nodes: 2,
  points: EVERY_POINT,
  dies: { step: 'init', node: 'node01' },
  kill: async (node, { done }) => {
    await done('ssh', node, '--cluster', NAME, '--', 'touch', MARKER);
    await killNode(MARKER);
  },
  sandbox: async (directories) => (await readRecord(recordPath(directories)))?.sandbox,
  lost: [`nodes of the cluster "${NAME}", whose state is lost`],
};

const cluster = faultyCluster(PROVIDER);
const { here, done, asked, start, condition, nothingIsLeft, directories } = cluster;

clusterFaults(PROVIDER, cluster);

/** Host pids of processes whose command line begins so. */
async function processes(command: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, at) => lines[at]?.replaceAll('\0', ' ').startsWith(command)).map(Number);
}

async function killService(): Promise<void> {
  const services = await processes('podman system service');
  expect(services).toHaveLength(1);
  for (const pid of services) process.kill(pid, 'SIGKILL');
}

describe('an engine that is killed', () => {
  it('during a first up: that says so and leaves nothing', async () => {
    const up = start(...asked());
    await begun(up, 'init node01');
    await killService();
    const { code, stdout } = await up.ended();
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 1, error: { code: 'engine-lost' } });
    await nothingIsLeft();
  });

  it('later: the cluster works on', async () => {
    await done(...asked('--nodes', '2'));
    await killService();
    expect(JSON.parse(await done(...asked()))).toMatchObject({ reused: true });
    expect(await done('ssh', 'node02', '--cluster', NAME, '--', 'hostname')).toBe('node02\n');
    expect(await condition()).toBe('ready');
    expect((await here('down', NAME)).code).toBe(0);
    await nothingIsLeft();
  });
});

/** A copy of a folder, of links where it is on the same file system. */
async function shared(from: string, to: string): Promise<void> {
  if ((await run('cp', ['--archive', '--link', from, to])).code === 0) return;
  await rm(to, { recursive: true, force: true });
  expect((await run('cp', ['--archive', from, to])).code).toBe(0);
}

describe('a full disk', () => {
  const problem = process.getuid?.() === 0 ? undefined : 'a file system of its own needs root';

  it.skipIf(isMissing('root', problem))('where nodes are stored is named; with room there the next one comes up', async () => {
    const env = {
      KVCI_CACHE_DIR: join(cluster.folder(), 'cache'),
      KVCI_STATE_DIR: join(cluster.folder(), 'state'),
      KVCI_RUNTIME_DIR: join(cluster.folder(), 'run'),
    };
    const nodes = join(env.KVCI_CACHE_DIR, 'nodes');
    await mkdir(nodes, { recursive: true });
    await mkdir(join(env.KVCI_CACHE_DIR, 'artifacts'));
    await shared(cluster.image().store, join(env.KVCI_CACHE_DIR, 'images'));
    await shared(join(directories.cache, 'artifacts/tools'), join(env.KVCI_CACHE_DIR, 'artifacts/tools'));
    const own = (...args: readonly string[]): Promise<Run> => kvci(args, { cwd: cluster.folder(), env });
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
    expect(await hostTraces()).toEqual(cluster.before());
  });
});
