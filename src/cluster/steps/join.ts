import { KvciError } from '../../core/errors.ts';
import { COMMAND_DEADLINE_MS } from '../deadlines.ts';
import { joinConfig, type JoinSecrets, type KubeadmCluster } from '../kubeadm.ts';
import { kubeadmPatches } from '../patches.ts';
import type { StepOutput } from '../cluster-run.ts';
import type { BootedNode } from './boot.ts';
import { kubeadm, resetNode } from './init.ts';
import { markMember } from './member.ts';

const CONFIG = '/etc/kubernetes/kvci-join.yaml';

/** kubeadm waits for the API at the start of a join only; later it takes one request that is not answered for the end. */
const ATTEMPTS = 3;

/** Whether kubeadm gave up because nobody answered, and not because of what was answered. */
export function apiWasAway(message: string): boolean {
  return /connection refused|connection reset|i\/o timeout|TLS handshake timeout|etcdserver: (request timed out|leader changed)/.test(
    message,
  );
}

/**
 * Joins a node to its cluster.
 *
 * @param forget takes what an earlier join left of the node out of the cluster
 */
export async function joinNode(
  { node, handle, facts }: BootedNode,
  cluster: KubeadmCluster,
  secrets: JoinSecrets,
  signal: AbortSignal,
  output: StepOutput,
  forget: () => Promise<void>,
): Promise<void> {
  // One that was a member may have lost all of that with its machine.
  if ((await resetNode(handle, signal)) || node.joined) await forget();
  const content = joinConfig(cluster, { name: node.name, addresses: handle.addresses, facts }, node.role, secrets);
  const patches = node.role === 'worker' ? [] : kubeadmPatches(cluster.kubernetes, facts);
  await handle.write([{ path: CONFIG, content, mode: 0o600 }, ...patches], signal);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await kubeadm(handle, ['join', '--config', CONFIG], signal, output);
      break;
    } catch (error) {
      if (attempt === ATTEMPTS || !(error instanceof KvciError) || !apiWasAway(error.message)) throw error;
      output.line('the API did not answer: joining again');
      if (await resetNode(handle, signal)) await forget();
    }
  }
  await handle.run(['rm', '-f', CONFIG], { timeoutMs: COMMAND_DEADLINE_MS, signal });
  await markMember(handle, signal);
}
