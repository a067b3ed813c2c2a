import { deadline } from '../../core/deadline.ts';
import { KvciError, throwIfCancelled } from '../../core/errors.ts';
import type { RunContext } from '../../core/plan.ts';
import type { Machines, MachineNetwork, MachineSpec, NodeHandle, PublishedPort } from '../../machine/types.ts';
import { nodeAddresses } from '../addresses.ts';
import { BOOT_DEADLINE_MS } from '../deadlines.ts';
import { type NodeFacts, readNodeFacts } from '../node-facts.ts';
import { type ClusterOptions, vmOptionsOf } from '../options.ts';
import type { NodeState } from '../state.ts';

/** A node that runs, with what it told of itself. */
export interface BootedNode {
  readonly node: NodeState;
  readonly handle: NodeHandle;
  readonly facts: NodeFacts;
}

/** systemd's word for "everything has started": `degraded` says that some unit failed, which need not be one that counts. */
const UP = /^(running|degraded)$/;

/** Its words once it takes orders. */
const ANSWERS = /^(initializing|starting|running|degraded|maintenance)$/;

/** Exit code of `systemctl is-system-running` for every state but `running`, and where there is no systemd to ask yet. */
const NOT_RUNNING = 1;

const POLL_MS = 50;

/** What a provider is told of a node. */
export function machineOf(
  { name, index, cpus, memory, provider }: NodeState,
  options: ClusterOptions,
  network: MachineNetwork,
  publish: readonly PublishedPort[],
): MachineSpec {
  return {
    name,
    addresses: nodeAddresses(network, index),
    publish,
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memory }),
    ...(provider === undefined ? {} : { provider }),
    vm: vmOptionsOf(options, name),
  };
}

/** Makes a node and starts it; answers when systemd takes orders. */
export async function bootNode(
  node: NodeState,
  options: ClusterOptions,
  network: MachineNetwork,
  publish: readonly PublishedPort[],
  machines: Pick<Machines, 'start'>,
  { clock, signal }: Pick<RunContext, 'clock' | 'signal'>,
): Promise<BootedNode> {
  const { name } = node;
  const handle = await machines.start(machineOf(node, options, network, publish), signal);
  let seen = '';
  using limit = deadline(clock, BOOT_DEADLINE_MS, signal, () => notUp(name, seen));
  for (;;) {
    const answer = await handle.run(['systemctl', 'is-system-running'], { accept: [NOT_RUNNING], signal: limit.signal });
    seen = answer.stdout.trim() || answer.stderr.trim();
    if (ANSWERS.test(seen)) break;
    await clock.wait(POLL_MS, limit.signal).catch(() => undefined);
    throwIfCancelled(limit.signal);
  }
  return { node, handle, facts: await readNodeFacts(handle, signal) };
}

/** Waits until all units of a node have started: the preloaded images are there then. */
export async function untilUp(handle: NodeHandle, signal: AbortSignal): Promise<void> {
  const { stdout } = await handle.run(['systemctl', 'is-system-running', '--wait'], {
    accept: [NOT_RUNNING],
    timeoutMs: BOOT_DEADLINE_MS,
    signal,
  });
  if (!UP.test(stdout.trim())) throw notUp(handle.name, stdout.trim());
}

function notUp(name: string, seen: string): KvciError {
  return new KvciError('timedOut', 'node-not-up', `systemd of ${name} does not come up; it is "${seen}"`, {
    hint: `"kvci logs ${name}" shows its journal and console.`,
  });
}
