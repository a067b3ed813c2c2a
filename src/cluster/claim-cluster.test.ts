import { mkdir, mkdtempDisposable, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { systemClock } from '../host/clock.ts';
import { fileLedger } from '../host/ledger.ts';
import { fileLocks } from '../host/locks.ts';
import { removeLostClusters, type LostPlace } from '../machine/container/lost-clusters.ts';
import { type MemoryContainer, memoryContainers } from '../../test/fixtures/memory-containers.ts';
import { claimCluster } from './claim-cluster.ts';
import { clusterOptionsSchema } from './options.ts';
import { type ClusterState, ClusterStates, parseState } from './state.ts';

function stateOf(name: string, run: string): ClusterState {
  const text = JSON.stringify({
    version: 1,
    name,
    run,
    createdAt: '2026-11-26T00:00:00.000Z',
    phase: 'ready',
    options: clusterOptionsSchema.parse({ name }),
    wanted: 'an image',
    provider: 'kind',
    image: { digest: `sha256:${'0'.repeat(64)}`, name: 'an image' },
    kubernetes: '1.36.3',
    families: ['ipv4'],
    nodes: [],
    steps: [],
  });
  return parseState(text, 'test');
}

const of = (name: string, cluster: string, run: string): MemoryContainer => ({
  name,
  labels: { owner: 'me', 'io.kvci.run': run, 'io.kvci.run/cluster': cluster },
});

/** An engine with these containers. */
function placeOf(items: readonly MemoryContainer[], onRemove?: (id: string) => Promise<void>) {
  const { containers, left } = memoryContainers(items, onRemove);
  const ended: string[] = [];
  const place: LostPlace = {
    labels: { owner: 'me' },
    containers,
    endForwards: (cluster) => {
      ended.push(cluster);
      return Promise.resolve();
    },
    sweep: () => Promise.resolve(),
  };
  return { place, left, ended };
}

async function parts() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'kvci-claim-'));
  const directories = { state: folder.path };
  return {
    folder: folder.path,
    states: new ClusterStates(directories),
    locks: fileLocks(systemClock),
    ledger: fileLedger(directories),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

describe('clusters whose state is lost', () => {
  it('are held while they are removed: an up of that name waits', async () => {
    await using here = await parts();
    const free: boolean[] = [];
    const { place, left, ended } = placeOf([of('lost-1', 'lost', 'a')], async () => {
      const lock = await here.locks.tryExclusive(here.states.lock('lost'));
      free.push(lock !== undefined);
      await lock?.[Symbol.asyncDispose]();
    });
    const { removed } = await removeLostClusters(place, (cluster) => claimCluster(cluster, here));
    expect(free).toEqual([false]);
    expect({ removed, left: left(), ended }).toEqual({
      removed: ['nodes of the cluster "lost", whose state is lost'],
      left: [],
      ended: ['lost'],
    });
    await using _free = await here.locks.exclusive(here.states.lock('lost'));
  });

  it('go, and what is known, worked on, unreadable or in the ledger stays', async () => {
    await using here = await parts();
    await here.states.save(stateOf('known', 'b'));
    await mkdir(here.states.files('broken').folder);
    await writeFile(join(here.states.files('broken').folder, 'state.json'), '{');
    await using _work = await here.locks.exclusive(here.states.lock('busy'));
    await using _entry = await here.ledger.enter('verification', { cluster: 'verify' });
    const { place, left, ended } = placeOf([
      of('known-1', 'known', 'b'),
      of('known-0', 'known', 'an earlier life'),
      ...['broken', 'busy', 'verify', 'lost'].map((cluster) => of(`${cluster}-1`, cluster, 'c')),
    ]);
    const { removed, failed } = await removeLostClusters(place, (cluster) => claimCluster(cluster, here));
    expect(failed).toEqual([]);
    expect(removed).toHaveLength(2);
    expect(left()).toEqual(['known-1', 'broken-1', 'busy-1', 'verify-1']);
    expect(ended).toEqual(['lost']);
  });

  it('stay as long as the ledger has something that cannot be read: it may name them', async () => {
    await using here = await parts();
    await using entry = await here.ledger.enter('verification', { cluster: 'other' });
    const file = join(here.folder, 'ledger', `${entry.entry.id}.json`);
    await writeFile(file, '{');
    await here.states.save(stateOf('known', 'b'));
    const { place, left } = placeOf([of('lost-1', 'lost', 'c'), of('known-0', 'known', 'an earlier life')]);
    await removeLostClusters(place, (cluster) => claimCluster(cluster, here));
    expect(left()).toEqual(['lost-1']);
    await rm(file);
    await removeLostClusters(place, (cluster) => claimCluster(cluster, here));
    expect(left()).toEqual([]);
  });

  it('that cannot be removed are told, and the others go', async () => {
    await using here = await parts();
    const { place, left } = placeOf([of('a-1', 'a', 'x'), of('b-1', 'b', 'x')], (id) =>
      id === 'a-1' ? Promise.reject(new KvciError('failed', 'engine-refused', 'device or resource busy')) : Promise.resolve(),
    );
    const { removed, failed } = await removeLostClusters(place, (cluster) => claimCluster(cluster, here));
    expect(removed).toEqual(['nodes of the cluster "b", whose state is lost']);
    expect(failed.map(({ message }) => message)).toEqual([
      'cannot remove nodes of the cluster "a", whose state is lost: device or resource busy',
    ]);
    expect(left()).toEqual(['a-1']);
  });
});
