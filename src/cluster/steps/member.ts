import type { NodeHandle } from '../../machine/types.ts';

/** Written when `kubeadm init` or `join` has ended well: what a killed run left half-made is made anew. */
const MEMBER = '/etc/kubernetes/kvci-member';

export async function markMember(handle: NodeHandle, signal: AbortSignal): Promise<void> {
  await handle.write([{ path: MEMBER, content: '' }], signal);
}

/** Whether a node has become part of its cluster. */
export async function isMember(handle: NodeHandle, signal: AbortSignal): Promise<boolean> {
  const { exitCode } = await handle.run(['test', '-e', MEMBER], { accept: [1], signal });
  return exitCode === 0;
}
