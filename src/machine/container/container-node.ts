import type { Containers } from '../../host/engine/containers.ts';
import { execNode, type ExecNodeParts } from '../exec-node.ts';
import type { NodeAddresses, NodeHandle } from '../types.ts';

export interface ContainerNodeParts extends ExecNodeParts {
  readonly containers: Containers;
}

export interface NodeContainer {
  readonly id: string;
  readonly name: string;
  readonly addresses: NodeAddresses;
}

/** A running container as a node. */
export function containerNode(parts: ContainerNodeParts, { id, name, addresses }: NodeContainer): NodeHandle {
  return execNode(parts, { name, addresses, exec: (request) => parts.containers.exec(id, request) });
}
