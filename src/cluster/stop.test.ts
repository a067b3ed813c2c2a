import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { clusterState } from '../../test/fixtures/cluster-state.ts';
import { systemClock } from '../host/clock.ts';
import type { Machines } from '../machine/types.ts';
import { ClusterRun } from './cluster-run.ts';
import { ClusterStates } from './state.ts';
import { stopNodes } from './stop.ts';

it('shuts workers down before control planes, those of a kind together; the state says so first, what serves them rests last', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-stop-'));
  const states = new ClusterStates({ state: folder.path });
  const state = clusterState({ nodes: 4, controlPlanes: 2 }, () => ({ phase: 'ready' }));
  const cluster = new ClusterRun(state, states, { events: () => undefined, clock: systemClock, signal: new AbortController().signal });
  await cluster.update({});
  const said: string[] = [];
  const waiting: (() => void)[] = [];
  const machines: Pick<Machines, 'list' | 'stop' | 'rest'> = {
    list: () => Promise.resolve(state.nodes.map(({ name }) => ({ name, state: name === 'node02' ? 'stopped' : 'running' }))),
    // Each goes when both workers were told to.
    stop: async (name) => {
      said.push(`${name} ${(await states.find('lab'))?.phase ?? ''}`);
      if (name === 'node03' || name === 'node04') {
        await new Promise<void>((go) => {
          waiting.push(go);
          if (waiting.length === 2) for (const each of waiting) each();
        });
      }
      said.push(`${name} is down`);
    },
    rest: () => Promise.resolve(void said.push('rest')),
  };
  expect(await stopNodes(cluster, machines as Machines)).toEqual(['node03', 'node04', 'node01']);
  expect(said.slice(0, 2).toSorted()).toEqual(['node03 stopped', 'node04 stopped']);
  expect(said.slice(2, 4).toSorted()).toEqual(['node03 is down', 'node04 is down']);
  expect(said.slice(4)).toEqual(['node01 stopped', 'node01 is down', 'rest']);
});
