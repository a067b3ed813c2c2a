import { z } from 'zod';

import { parseName } from '../core/names.ts';
import { refineBy } from '../core/refine.ts';
import { KvciError } from '../core/errors.ts';
import { parseSize } from '../core/sizes.ts';
import { SANDBOX_KINDS } from '../sandbox/types.ts';
import { ALL_MIRRORS, registryOptionsShape } from './registry-options.ts';
import { NODE_PROVIDERS } from '../machine/types.ts';
import { ACCELERATIONS, VM_OPTION_KEYS, type VmOptions, vmOptionsShape } from '../machine/vm-options.ts';

export const PROVIDERS = ['auto', 'kind', 'vm'] as const;
export const IP_FAMILIES = ['dual', 'ipv4', 'ipv6'] as const;

/** Most nodes of a cluster: each has a /24 of the pod range, and addresses from .11 on in the network of the nodes. */
export const MOST_NODES = 200;

/** etcd's own advice: more members make it slower and hardly safer. */
export const MOST_CONTROL_PLANES = 7;

/** The name of a cluster whose name nobody gives. */
export const DEFAULT_CLUSTER = 'kvci';

const LABEL_KEY = /^([a-z0-9]([a-z0-9.-]*[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;

const memory = z.string().check(refineBy((text) => parseSize(text)));
const cpus = z.number().positive();

const nodeOverrideSchema = z.strictObject({
  cpus: cpus.optional().describe('Processors of this node'),
  memory: memory.optional().describe('Memory of this node, such as 4G'),
  labels: z
    .record(z.string().regex(LABEL_KEY, 'not a label of Kubernetes'), z.string().regex(LABEL_VALUE, 'not a value of a label'))
    .optional()
    .describe('Labels of this node'),
  provider: z.enum(NODE_PROVIDERS).optional().describe('What this node is: kind (a container) or vm (a virtual machine)'),
  ...vmOptionsShape,
});

/**
 * What makes up a cluster: the flags of `kvci up` and the `cluster` section of kvci.yaml, one schema for both. What the node image
 * is made of stands in the `image` section.
 */
export const clusterOptionsSchema = z.strictObject({
  name: z
    .string()
    .check(refineBy((text) => parseClusterName(text)))
    .default(DEFAULT_CLUSTER)
    .describe('Name of the cluster'),
  image: z.string().min(1).optional().describe('Tag or digest of a node image in the store, instead of building one'),
  nodes: z.int().min(1).max(MOST_NODES).default(1).describe('Number of nodes, control planes included'),
  controlPlanes: z.int().min(1).max(MOST_CONTROL_PLANES).default(1).describe('How many of them are control planes'),
  provider: z.enum(PROVIDERS).default('auto').describe('kind (containers), vm (virtual machines) or auto'),
  controlPlaneProvider: z.enum(NODE_PROVIDERS).optional().describe('What control planes are, where that differs from the other nodes'),
  ipFamily: z.enum(IP_FAMILIES).default('dual').describe('IP families of pods and services'),
  cni: z
    .string()
    .check(refineBy((text) => parseCni(text)))
    .default('bridge')
    .describe('Pod network: bridge (the standard CNI plugins and kept routes), none, or the address of a manifest'),
  cniSha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in lower-case hexadecimal')
    .optional()
    .describe('SHA-256 of the manifest that cni names'),
  cpus: cpus.optional().describe('Processors of each node (default: all of the host; of a virtual machine one to four)'),
  memory: memory
    .optional()
    .describe('Memory of each node, such as 4G (default: no bound; of a virtual machine what the host has room for)'),
  ...registryOptionsShape,
  ...vmOptionsShape,
  acceleration: z.enum(ACCELERATIONS).default('auto').describe('Of virtual machines: kvm, emulation, or auto (KVM where it works)'),
  sandbox: z
    .enum(SANDBOX_KINDS)
    .default('namespaces')
    .describe("What virtual machines are in: namespaces, or a container of this host's engine"),
  overrides: z
    .record(z.string().regex(/^node(0[1-9]|[1-9][0-9]{1,2})$/, 'not the name of a node such as node02'), nodeOverrideSchema)
    .default({})
    .describe('What differs for single nodes, by name'),
});

export type ClusterOptions = z.output<typeof clusterOptionsSchema>;

/** Whether options contradict each other, whatever nodes are. @throws KvciError `bad-flag` */
export function checkTogether(options: ClusterOptions): void {
  const problem =
    options.controlPlanes > options.nodes
      ? [
          '--control-planes',
          `${options.controlPlanes} control planes do not fit into ${options.nodes} node${options.nodes === 1 ? '' : 's'}`,
        ]
      : isUrl(options.cni) && options.cniSha256 === undefined
        ? ['--cni', 'a manifest by its address needs --sha256, so that it is the one you mean']
        : !isUrl(options.cni) && options.cniSha256 !== undefined
          ? ['--sha256', 'is for a --cni that is the address of a manifest']
          : (unknownOverride(options) ?? mirrorless(options));
  if (problem === undefined) return;
  const [flag = '', message = ''] = problem;
  throw new KvciError('usage', 'bad-flag', `${flag}: ${message}`, { facts: { flag } });
}

function unknownOverride({ overrides, nodes }: ClusterOptions): readonly string[] | undefined {
  const unknown = Object.keys(overrides).find((name) => Number(name.slice('node'.length)) > nodes);
  return unknown === undefined ? undefined : ['cluster.overrides', `there is no ${unknown} among ${nodes} nodes`];
}

/** Certificates of nobody's are a mistake. */
function mirrorless({ cas, mirrors }: ClusterOptions): readonly [string, string] | undefined {
  if (cas[ALL_MIRRORS] === undefined || Object.keys(mirrors).length > 0) return undefined;
  return ['--ca', 'whose certificates these are is not said: write HOST=FILE, or name a mirror with --mirror'];
}

/** What a node is to be as a virtual machine: what differs for it, over what all have. */
export function vmOptionsOf(options: ClusterOptions, node: string): VmOptions {
  const own = options.overrides[node] ?? {};
  return Object.fromEntries(
    VM_OPTION_KEYS.flatMap((key) => {
      const value = own[key] ?? options[key];
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

export type Cni = { readonly kind: 'bridge' } | { readonly kind: 'none' } | { readonly kind: 'manifest'; readonly url: string };

/** Reads `bridge`, `none` or an http(s) address. @throws KvciError `bad-cni` */
export function parseCni(text: string): Cni {
  if (text === 'bridge' || text === 'none') return { kind: text };
  if (isUrl(text)) return { kind: 'manifest', url: text };
  throw new KvciError('usage', 'bad-cni', `"${text}" is no pod network`, {
    hint: 'Use bridge, none, or the https address of a manifest together with --sha256.',
  });
}

function isUrl(text: string): boolean {
  return /^https?:\/\/./.test(text);
}

/** Names of containers, networks and host names are made of a cluster's name: it is short. @throws KvciError `bad-name` */
export function parseClusterName(text: string): string {
  const name = parseName(text, 'cluster name');
  if (name.length <= 40) return name;
  throw new KvciError('usage', 'bad-name', `the cluster name "${text}" has more than 40 letters`);
}
