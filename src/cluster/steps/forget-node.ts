import type { NodeHandle } from '../../machine/types.ts';
import { COMMAND_DEADLINE_MS } from '../deadlines.ts';
import { removeEtcdMember } from '../etcd.ts';
import type { NodeRole } from '../spec.ts';
import { ADMIN_CONF } from './init.ts';

/** A node whose join was ended in the middle, as its cluster may know it. */
export interface HalfJoined {
  readonly name: string;
  readonly role: NodeRole;
  /** The main one. */
  readonly address: string;
}

/**
 * Lets a cluster forget a node that is to join anew: kubeadm refuses a name that is Ready, and the API says that of a node for
 * forty seconds after its kubelet has ended.
 *
 * @param own main address of the control plane that it is done on
 */
export async function forgetNode(through: NodeHandle, own: string, node: HalfJoined, signal: AbortSignal): Promise<void> {
  if (node.role === 'control-plane') await removeEtcdMember(through, own, node, signal);
  await through.run(['kubectl', '--kubeconfig', ADMIN_CONF, 'delete', 'node', node.name, '--ignore-not-found'], {
    timeoutMs: COMMAND_DEADLINE_MS,
    signal,
  });
}
