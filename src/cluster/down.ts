import process from 'node:process';

import { hasErrno, KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { isRunning } from '../host/processes.ts';
import { lockCluster } from './lock-cluster.ts';
import type { ClusterPorts } from './ports.ts';
import { requireCluster } from './find-cluster.ts';
import { releaseRegistry } from './registries.ts';
import { machinesSpec } from './state.ts';

export interface DownResult {
  readonly name: string;
  readonly ms: number;
}

/**
 * Removes a cluster with all that belongs to it. A `kvci up` that is at work on it is told to stop first: it cleans up what it was
 * making, and this goes on with what is left.
 */
export async function bringDown(name: string, ports: ClusterPorts, run: RunContext): Promise<DownResult> {
  const started = run.clock.monotonic();
  await stopOwner(await requireCluster(name, ports.states));
  await using _lock = await lockCluster(name, ports, run);
  const state = await ports.states.find(name);
  if (state !== undefined) {
    await ports.states.save({ ...state, phase: 'removing' });
    await using provider = await ports.provider(state.provider, state.engine, run);
    await using machines = await provider.machines(machinesSpec(state)).catch((error: unknown) => {
      throw withFolder(error, ports.states.files(name).folder);
    });
    await machines.destroy();
    await ports.states.remove(name);
    await releaseRegistry(ports);
  }
  return { name, ms: Math.round(run.clock.monotonic() - started) };
}

async function stopOwner({ name, owner }: Awaited<ReturnType<typeof requireCluster>>): Promise<void> {
  if (owner === undefined || owner.pid === process.pid || !(await isRunning(owner))) return;
  try {
    process.kill(owner.pid, 'SIGTERM');
  } catch (error) {
    if (hasErrno(error, 'ESRCH')) return;
    if (!hasErrno(error, 'EPERM')) throw error;
    throw new KvciError('failed', 'cluster-busy', `the cluster "${name}" is being brought up by another user (process ${owner.pid})`, {
      cause: error,
    });
  }
}

/** An engine that is gone for good must not keep its clusters. */
function withFolder(error: unknown, folder: string): unknown {
  if (!(error instanceof KvciError) || error.code !== 'engine-unreachable') return error;
  return new KvciError(error.reason, error.code, error.message, {
    hint: `Run the command again when it is reached. Where that never will be, remove ${folder}: kvci then knows nothing of the cluster.`,
    facts: error.facts,
    cause: error.cause,
  });
}
