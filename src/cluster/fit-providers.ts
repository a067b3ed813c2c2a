import { KvciError } from '../core/errors.ts';
import { MOST_MACHINES } from '../machine/net/lan.ts';
import type { MachineProvider } from '../machine/types.ts';
import { VM_OPTION_KEYS } from '../machine/vm-options.ts';
import { OPTION_FLAGS, placeOf } from './differences.ts';
import { type ClusterOptions, MOST_NODES } from './options.ts';
import { clusterProvider, nodeName, nodeProvider, roleAt } from './spec.ts';

/** A flag, or a key of kvci.yaml, and what is wrong with it. */
export type Misfit = readonly [place: string, message: string];

const FOR_VMS = 'is for virtual machines: --provider vm';

/** The first of what is asked for that only virtual machines can have. */
export function onlyForVms(options: ClusterOptions): string | undefined {
  const key = VM_OPTION_KEYS.find((name) => options[name] !== undefined);
  if (key !== undefined) return OPTION_FLAGS[key];
  if (options.acceleration !== 'auto') return OPTION_FLAGS.acceleration;
  if (options.sandbox !== 'namespaces') return OPTION_FLAGS.sandbox;
  return Object.keys(options.overrides)
    .map((node) => onlyForVm(options, node))
    .find((place) => place !== undefined);
}

/** The same of what one node has for its own. */
export function onlyForVm({ overrides }: ClusterOptions, node: string): string | undefined {
  const key = VM_OPTION_KEYS.find((name) => overrides[node]?.[name] !== undefined);
  return key === undefined ? undefined : `cluster.overrides.${node}.${key}`;
}

/** How many nodes have room in the network that a cluster of a provider is in: that of containers, or that of machines alone. */
export function mostNodes(provided: MachineProvider['name']): number {
  return provided === 'vm' ? MOST_MACHINES : MOST_NODES;
}

/** What nodes cannot have that are what the options say: refused, not left out in silence. */
export function misfit(options: ClusterOptions): Misfit | undefined {
  const provided = clusterProvider(options);
  if (provided === 'kind') {
    const place = onlyForVms(options);
    return place === undefined ? undefined : [place, FOR_VMS];
  }
  if (options.nodes > mostNodes(provided)) return ['--nodes', `a network of virtual machines has room for ${mostNodes(provided)}`];
  if (provided === 'mixed' && options.sandbox === 'container') {
    return ['--sandbox', "containers beside virtual machines are in the sandbox of kvci's own engine, which is of namespaces"];
  }
  return Array.from({ length: options.nodes }, (_, at) => nodeMisfit(at, options)).find((found) => found !== undefined);
}

function nodeMisfit(position: number, options: ClusterOptions): Misfit | undefined {
  const node = nodeName(position + 1);
  const role = roleAt(position, options);
  if (nodeProvider(position + 1, role, options) === 'kind') {
    const place = onlyForVm(options, node);
    return place === undefined ? undefined : [place, `is for virtual machines, and ${node} is a container`];
  }
  const cpus = options.overrides[node]?.cpus ?? options.cpus;
  if (cpus === undefined) return undefined;
  const place = placeOf('cpus', node, options.overrides);
  if (!Number.isInteger(cpus)) return [place, 'a virtual machine has whole processors'];
  return role === 'control-plane' && cpus < 2 ? [place, `a control plane needs two processors, ${node} has one`] : undefined;
}

/** @throws KvciError `bad-flag` */
export function refuseMisfit(options: ClusterOptions): void {
  const found = misfit(options);
  if (found === undefined) return;
  const [flag, message] = found;
  throw new KvciError('usage', 'bad-flag', `${flag}: ${message}`, { facts: { flag } });
}
