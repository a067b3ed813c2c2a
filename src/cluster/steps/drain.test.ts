import { expect, it } from 'vitest';

import type { Clock } from '../../core/clock.ts';
import type { KubernetesObject, ObservedPod } from '../../host/kubernetes.ts';
import { observePod } from '../../host/kubernetes-view.ts';
import { DRAIN_DEADLINE_MS } from '../deadlines.ts';
import { drainNode, elseSchedulable, movable } from './drain.ts';

const pod = (name: string, owner: string, nodeName = 'node02', phase = 'Running') =>
  observePod({
    metadata: { name, namespace: 'default', ...(owner === '' ? {} : { ownerReferences: [{ kind: owner, controller: true }] }) },
    spec: { nodeName },
    status: { phase },
  });

it('pods that leave a node before it goes: neither its own nor those that have ended', () => {
  const pods = [
    pod('web', 'ReplicaSet'),
    pod('alone', ''),
    pod('proxy', 'DaemonSet'),
    pod('etcd', 'Node'),
    pod('job', 'Job', 'node02', 'Succeeded'),
    pod('other', 'ReplicaSet', 'node01'),
  ];
  expect(movable({ pods }, 'node02').map(({ name }) => name)).toEqual(['web', 'alone']);
});

/** A cluster whose pods end when they may: each takes so many times of being asked. */
function clusterOf(times: Readonly<Record<string, number>>) {
  const left = new Map(Object.entries(times));
  const said: unknown[] = [];
  return {
    said,
    left: () => [...left.keys()],
    api: {
      merge: (object: KubernetesObject) => {
        said.push(object['spec']);
        return Promise.resolve();
      },
      view: () => Promise.resolve({ nodes: [], pods: [...left.keys()].map((name) => pod(name, 'ReplicaSet')) }),
      evict: ({ name }: Pick<ObservedPod, 'name'>) => {
        const more = (left.get(name) ?? 0) - 1;
        if (more > 0) left.set(name, more);
        else left.delete(name);
        return Promise.resolve(more <= 0);
      },
    },
  };
}

/** Time that passes only when somebody waits. */
function steppedClock(): Clock {
  let time = 0;
  const due: { readonly at: number; readonly done: () => void }[] = [];
  return {
    now: () => time,
    monotonic: () => time,
    wait: (ms) =>
      new Promise((resolve) => {
        due.push({ at: time + ms, done: () => resolve(undefined) });
        if (ms === DRAIN_DEADLINE_MS) return;
        time += ms;
        for (const { at, done } of due) if (at <= time) done();
      }),
  };
}

const NEVER = new AbortController().signal;

it('a node takes no new pods and is drained when all have ended, also those that a budget kept for a while', async () => {
  const { api, left, said } = clusterOf({ web: 1, kept: 5 });
  await drainNode('node02', 'lab', api, steppedClock(), NEVER);
  expect(left()).toEqual([]);
  expect(said).toEqual([{ unschedulable: true }]);
});

it('a node that cannot be drained in time takes pods again, and those that are left are told', async () => {
  const { api, said } = clusterOf({ web: 1, kept: 1000 });
  await expect(drainNode('node02', 'lab', api, steppedClock(), NEVER)).rejects.toMatchObject({
    code: 'drain-timed-out',
    reason: 'timedOut',
    message: 'these pods on node02 did not end within 120 s:\n  default/kept',
    hint: expect.stringContaining('"kvci node remove node02 --cluster lab --no-drain"') as string,
  });
  expect(said).toEqual([{ unschedulable: true }, { unschedulable: false }]);
});

const machines = (...names: readonly string[]): Parameters<typeof elseSchedulable>[2] => ({
  list: () => Promise.resolve(names.map((name) => ({ name, state: 'running' as const }))),
});

it.each([
  { what: 'is still there takes pods again', there: machines('node01', 'node02'), undone: true },
  { what: 'may be there, as the engine is gone, takes pods again', there: { list: () => Promise.reject(new Error('lost')) }, undone: true },
  { what: 'is gone has nothing to take back', there: machines('node01'), undone: false },
  {
    what: 'was shut down takes none',
    there: { list: () => Promise.resolve([{ name: 'node02', state: 'stopped' as const }]) },
    undone: false,
  },
  { what: 'is out of etcd takes none', there: machines('node01', 'node02'), undone: false, out: true },
])('a drained node that could not be removed and $what', async ({ there, undone, out }) => {
  const { api, said } = clusterOf({});
  const failure = new Error('etcd refused');
  await expect(
    elseSchedulable('node02', api, there, (noWayBack) => {
      if (out === true) noWayBack();
      return Promise.reject(failure);
    }),
  ).rejects.toBe(failure);
  expect(said).toEqual(undone ? [{ unschedulable: false }] : []);
});

it('a drained node that was removed is left alone', async () => {
  const { api, said } = clusterOf({});
  await elseSchedulable('node02', api, machines('node01', 'node02'), () => Promise.resolve());
  expect(said).toEqual([]);
});
