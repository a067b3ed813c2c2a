import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { clusterState } from '../../test/fixtures/cluster-state.ts';
import { KvciError } from '../core/errors.ts';
import { systemClock } from '../host/clock.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';
import type { Machines, MachineState, NodeHandle } from '../machine/types.ts';
import { ClusterRun } from './cluster-run.ts';
import { ClusterStates } from './state.ts';
import { finishRemovals, takeOut } from './take-out.ts';

const broken = (): Promise<never> => Promise.reject(new KvciError('failed', 'engine-lost', 'the connection was closed'));

/** A cluster that is Ready, without a pod network; machines of memory, which can be broken. */
async function place(controlPlanes: number, nodes: number, left?: string) {
  const folder = await mkdtempDisposable(join(tmpdir(), 'kvci-take-out-'));
  const states = new ClusterStates({ state: folder.path });
  const state = clusterState({ nodes, controlPlanes, cni: 'none' }, (specs) => ({
    phase: 'ready',
    nodes: specs.map((node) => ({ ...node, joined: true, leaving: node.name === left })),
    network: { ipv4: '10.89.1.0/24' },
    endpoint: controlPlanes > 1 ? '10.89.1.1:6443' : '10.89.1.11:6443',
    api: { host: '127.0.0.1', port: 24001 },
  }));
  const context = { events: () => undefined, clock: systemClock, signal: new AbortController().signal };
  const cluster = new ClusterRun(state, states, context);
  await cluster.update({});
  await writeFile(states.files('lab').kubeconfig, '');
  const there = new Map<string, MachineState>(state.nodes.map(({ name }) => [name, 'running']));
  const said: string[] = [];
  let removes = true;
  const node = (name: string): Promise<NodeHandle> => Promise.resolve({ name, run: broken } as unknown as NodeHandle);
  const machines = {
    list: () => Promise.resolve([...there].map(([name, how]) => ({ name, state: how }))),
    node,
    start: ({ name }: { readonly name: string }) => {
      there.set(name, 'running');
      return node(name);
    },
    stop: (name: string) => Promise.resolve(void there.set(name, 'stopped')),
    remove: async (name: string) => {
      said.push(`leaving ${String((await states.find('lab'))?.nodes.find((each) => each.name === name)?.leaving)}`);
      if (!removes) await broken();
      there.delete(name);
    },
    balance: () => Promise.resolve({ ipv4: '10.89.1.1' }),
    forward: () => Promise.resolve({ host: '127.0.0.1', port: 24001 }),
  } as unknown as Machines;
  const api = {
    remove: ({ metadata }: { readonly metadata: { readonly name: string } }) => Promise.resolve(void said.push(`forgets ${metadata.name}`)),
    view: () => Promise.resolve({ nodes: [], pods: [] }),
  } as unknown as KubernetesApi;
  return {
    take: (name: string) => {
      const leaving = cluster.state.nodes.find((each) => each.name === name)!;
      const others = cluster.state.nodes.filter((each) => each !== leaving);
      return takeOut(leaving, others, false, cluster, machines, api);
    },
    finish: () => finishRemovals(cluster, machines, { states, api: () => Promise.resolve(api) }),
    breakRemoval: (yes: boolean) => void (removes = !yes),
    nodes: async () => (await states.find('lab'))?.nodes.map(({ name, leaving }) => `${name}${leaving === true ? ' leaves' : ''}`),
    there,
    said,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

it('a node that leaves is told in the state before it goes, and forgotten when it is gone', async () => {
  await using here = await place(1, 2);
  await here.take('node02');
  expect(here.said.slice(0, 2)).toEqual(['leaving true', 'forgets node02']);
  expect(await here.nodes()).toEqual(['node01']);
});

it('a removal that was ended in the middle is finished by who comes next, with all machines running', async () => {
  await using here = await place(1, 3);
  here.breakRemoval(true);
  await expect(here.take('node02')).rejects.toMatchObject({ code: 'engine-lost' });
  expect(await here.nodes()).toEqual(['node01', 'node02 leaves', 'node03']);
  here.breakRemoval(false);
  here.there.set('node01', 'stopped');
  await here.finish();
  expect(await here.nodes()).toEqual(['node01', 'node03']);
  expect([...here.there]).toEqual([
    ['node01', 'running'],
    ['node03', 'running'],
  ]);
  expect(here.said).toContain('forgets node02');
});

it('a control plane that etcd did not let go stays', async () => {
  await using here = await place(3, 3);
  await expect(here.take('node03')).rejects.toMatchObject({ code: 'engine-lost' });
  expect(await here.nodes()).toEqual(['node01', 'node02', 'node03']);
});

it('a control plane that may be out of etcd already does not stay', async () => {
  await using here = await place(3, 3, 'node03');
  await expect(here.finish()).rejects.toMatchObject({ code: 'engine-lost' });
  expect(await here.nodes()).toEqual(['node01', 'node02', 'node03 leaves']);
});

it('where nobody leaves nothing is done', async () => {
  await using here = await place(1, 1);
  await here.finish();
  expect(here.said).toEqual([]);
});
