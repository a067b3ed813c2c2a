import process from 'node:process';

import { deadline } from '../core/deadline.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { identify } from '../host/processes.ts';
import type { MachineProvider, Machines } from '../machine/types.ts';
import { bringUp } from './bring-up.ts';
import { ClusterRun } from './cluster-run.ts';
import { UP_DEADLINE_MS } from './deadlines.ts';
import type { ClusterPorts } from './ports.ts';
import { type ClusterState, machinesSpec } from './state.ts';
import { finishRemovals } from './take-out.ts';

/** What work on a cluster gets. */
export interface Work {
  readonly cluster: ClusterRun;
  readonly machines: Machines;
  readonly provider: MachineProvider;
}

/**
 * Works on a cluster whose lock is held, as its owner: `kvci down` knows whom to end. Its state is on disk before anything is
 * made of it, and its events are kept. Answers the state as the work left it.
 *
 * @param command the words after `kvci`
 */
export async function workOn(
  state: ClusterState,
  provider: MachineProvider,
  ports: ClusterPorts,
  run: RunContext,
  command: string,
  work: (parts: Work) => Promise<void>,
): Promise<ClusterState> {
  const owner = await identify(process.pid);
  // A half-made cluster is still the same undertaking; else its steps are those of this one.
  const steps = state.phase === 'creating' ? state.steps : [];
  const cluster = new ClusterRun({ ...state, steps, ...(owner === undefined ? {} : { owner }) }, ports.states, run);
  await cluster.update({});
  try {
    await ports.records.during(ports.states.files(state.name).events, { command, subject: state.name }, run.signal, async () => {
      await using machines = await provider.machines(machinesSpec(state));
      await work({ cluster, machines, provider });
    });
  } finally {
    if (await ports.states.find(state.name)) await cluster.update({ owner: undefined });
  }
  return cluster.state;
}

/** Brings all of a cluster up, after removals that were ended in the middle, its image first where machines start from. @throws KvciError `up-timed-out`, as its steps */
export async function bringAllUp({ cluster, machines, provider }: Work, ports: ClusterPorts, timeoutMs = UP_DEADLINE_MS): Promise<void> {
  const { clock, signal } = cluster.context;
  const { digest } = cluster.state.image;
  if (!(await provider.hasImage(digest))) {
    await cluster.step('image', 'node image to where machines start from', undefined, (output) =>
      provider.prepare(
        digest,
        (line) => {
          output.line(line);
        },
        signal,
      ),
    );
  }
  using limit = deadline(
    clock,
    timeoutMs,
    signal,
    () =>
      new KvciError('timedOut', 'up-timed-out', `the cluster was not up after ${Math.round(timeoutMs / 1000)} s`, {
        hint: 'Give it more time with --timeout, or look at what it left with --keep-on-failure.',
      }),
  );
  const within = cluster.within(limit.signal);
  await finishRemovals(within, machines, ports);
  await bringUp(within, machines, ports);
}
