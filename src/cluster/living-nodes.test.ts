import { expect, it } from 'vitest';

import { observeNode } from '../host/kubernetes-view.ts';
import { livingNodes } from './living-nodes.ts';

const NEVER = new AbortController().signal;

const node = (name: string, ready = true) =>
  observeNode({ metadata: { name }, status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', message: 'starting' }] } });

/** Kubelets that answer so when they are asked again and again, and machines that run. */
async function look(kubelets: Readonly<Record<string, readonly boolean[]>>, running: readonly string[] | undefined) {
  const left = new Map(Object.entries(kubelets).map(([name, answers]) => [name, [...answers]]));
  const asked: string[] = [];
  const nodes = await livingNodes(
    [node('node01'), node('node02'), node('node03', false)],
    { kubeletAnswers: (name) => Promise.resolve(left.get(name)?.shift() ?? false) },
    () => {
      asked.push('machines');
      if (running === undefined) return Promise.reject(new Error('no engine'));
      return Promise.resolve(['node01', 'node02'].map((name) => ({ name, state: running.includes(name) ? 'running' : 'stopped' })));
    },
    NEVER,
  );
  return { said: nodes.map(({ ready, message }) => (ready ? 'ready' : message)), asked: asked.length };
}

const both = ['node01', 'node02'];

it.each([
  { what: 'that answer', kubelets: { node01: [true], node02: [true] }, running: both, said: ['ready', 'ready'], asked: 0 },
  { what: 'that are busy', kubelets: { node01: [true], node02: [false, true] }, running: both, said: ['ready', 'ready'], asked: 1 },
  {
    what: 'that are gone on nodes that run',
    kubelets: { node01: [true], node02: [false, false] },
    running: both,
    said: ['ready', 'its kubelet does not answer'],
    asked: 1,
  },
  {
    what: 'of nodes that died',
    kubelets: { node01: [true], node02: [false, true] },
    running: ['node01'],
    said: ['ready', 'does not run'],
    asked: 1,
  },
  {
    what: 'that are gone, as their engine is',
    kubelets: { node01: [false, true], node02: [false, false] },
    running: undefined,
    said: ['ready', 'its kubelet does not answer'],
    asked: 1,
  },
])('kubelets $what', async ({ kubelets, running, said, asked }) => {
  expect(await look(kubelets, running)).toEqual({ said: [...said, 'starting'], asked });
});
