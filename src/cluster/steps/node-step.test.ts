import { describe, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import { systemClock } from '../../host/clock.ts';
import type { Machines, MachineState } from '../../machine/types.ts';
import type { ClusterState } from '../state.ts';
import { nodeStep } from './node-step.ts';

const run: Parameters<typeof nodeStep>[0] = {
  context: { events: () => undefined, clock: systemClock, signal: new AbortController().signal },
  state: { name: 'lab' } as ClusterState,
  step: async (_id, _title, _node, work) => work({ line: () => undefined }),
};

function machines(state: MachineState | undefined): Pick<Machines, 'list' | 'console'> {
  return {
    list: () => Promise.resolve(state === undefined ? [] : [{ name: 'node01', state }]),
    console: () => Promise.resolve('Kernel panic\n'),
  };
}

describe('a step on a node that fails', () => {
  it.each<[string, MachineState | undefined, KvciError, string]>([
    ['of a node that has died tells that', 'stopped', new KvciError('failed', 'command-failed', 'kubeadm ended with 137'), 'node-died'],
    ['of a node that runs tells itself', 'running', new KvciError('failed', 'command-failed', 'no'), 'command-failed'],
    ['of a node that was never made tells why', undefined, new KvciError('failed', 'engine-request-failed', 'no'), 'engine-request-failed'],
    ['for lack of rights tells that', 'stopped', new KvciError('hostNotReady', 'engine-unprivileged', 'no'), 'engine-unprivileged'],
    ['because its name is taken tells that', undefined, new KvciError('notFoundOrExists', 'name-taken', 'no'), 'name-taken'],
    ['of a node that ended at once tells how', 'stopped', new KvciError('failed', 'node-ended', 'no'), 'node-ended'],
  ])('%s', async (_what, state, error, code) => {
    const failing = nodeStep(run, machines(state), 'boot', 'boot', 'node01', () => Promise.reject(error));
    await expect(failing).rejects.toMatchObject({ code });
  });

  it('tells what the command met and the end of the console', async () => {
    const error = new KvciError('failed', 'command-failed', 'kubeadm ended with 137');
    const failing = nodeStep(run, machines('stopped'), 'init', 'kubeadm init', 'node01', () => Promise.reject(error));
    await expect(failing).rejects.toThrow(/does not run any more: kubeadm ended with 137\n.*console:\n.*Kernel panic/s);
  });
});
