import type { NodeSpec } from './spec.ts';

/** Nodes in words. */
export function countNodes(nodes: readonly Pick<NodeSpec, 'role'>[]): string {
  const controlPlanes = nodes.filter(({ role }) => role === 'control-plane').length;
  const workers = nodes.length - controlPlanes;
  const of = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
  return [of(controlPlanes, 'control plane'), ...(workers === 0 ? [] : [of(workers, 'worker')])].join(', ');
}
