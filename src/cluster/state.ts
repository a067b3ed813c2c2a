import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { digestSchema } from '../core/digest-schema.ts';
import { hasErrno, KvciError, messageOf } from '../core/errors.ts';
import { engineAddressSchema } from '../host/engine/address-schema.ts';
import { removeTree, writeFileAtomic } from '../host/files.ts';
import type { Directories } from '../host/types.ts';
import { type MachinesSpec, NODE_PROVIDERS } from '../machine/types.ts';
import { clusterOptionsSchema } from './options.ts';

/** Of the state file. A newer kvci that changes its meaning raises it. */
const STATE_VERSION = 1;

const family = z.enum(['ipv4', 'ipv6']);
const addresses = z.object({ ipv4: z.string().optional(), ipv6: z.string().optional() });

const nodeStateSchema = z.object({
  name: z.string(),
  index: z.int(),
  role: z.enum(['control-plane', 'worker']),
  cpus: z.number().optional(),
  memory: z.number().optional(),
  labels: z.record(z.string(), z.string()),
  /** What it is, in a cluster of both kinds. */
  provider: z.enum(NODE_PROVIDERS).optional(),
  /** Known once the network is there. */
  addresses: addresses.optional(),
  /** It has been a member of the cluster. */
  joined: z.boolean().default(false),
  /** Its removal was begun: whoever works on the cluster next finishes it. */
  leaving: z.boolean().optional(),
});

const stepStateSchema = z.object({
  id: z.string(),
  title: z.string(),
  node: z.string().optional(),
  status: z.enum(['running', 'done', 'failed', 'cancelled']),
  /** ISO 8601. */
  startedAt: z.string(),
  ms: z.number().optional(),
});

export const clusterStateSchema = z.object({
  version: z.literal(STATE_VERSION),
  name: z.string(),
  /** Random, of one life of the cluster. */
  run: z.string(),
  createdAt: z.string(),
  phase: z.enum(['creating', 'ready', 'stopped', 'removing']),
  /** As they were asked for. */
  options: clusterOptionsSchema,
  /** What was asked for as the image: `--k8s 1.36`. */
  wanted: z.string(),
  /** The process that is at work on it. */
  owner: z.object({ pid: z.int(), startTime: z.string() }).optional(),
  provider: z.enum([...NODE_PROVIDERS, 'mixed']),
  /** The engine that its nodes are in, or the sandbox of its machines; missing where that is kvci's own, or none. */
  engine: engineAddressSchema.optional(),
  image: z.object({ digest: digestSchema, name: z.string() }),
  kubernetes: z.string(),
  families: z.array(family),
  nodes: z.array(nodeStateSchema),
  network: addresses.extend({ firstHost: z.int().optional() }).optional(),
  /** Where the nodes find the API. */
  endpoint: z.string().optional(),
  /** PEM certificates by the registry that they are for; "*" for mirrors. */
  trusted: z.record(z.string(), z.string()).optional(),
  /** The port of this host at which it pushes to the registry beside it. */
  registryPort: z.int().optional(),
  /** The port of this host that was chosen for it, before anything was made that leads there. */
  apiPort: z.int().optional(),
  /** Where this host finds it. */
  api: z.object({ host: z.string(), port: z.int() }).optional(),
  /** What it was last saved as, or came from. */
  snapshot: z.object({ name: z.string(), id: z.string() }).optional(),
  steps: z.array(stepStateSchema),
  /** Milliseconds from the start of the last bring-up. */
  nodesReadyMs: z.number().optional(),
  readyMs: z.number().optional(),
});

export type ClusterState = z.output<typeof clusterStateSchema>;
export type NodeState = ClusterState['nodes'][number];
export type StepState = ClusterState['steps'][number];

/** Options count nodes, too: what is asked for later is compared with them. */
export function withNodes({ options }: ClusterState, nodes: readonly NodeState[]): Pick<ClusterState, 'nodes' | 'options'> {
  const controlPlanes = nodes.filter(({ role }) => role === 'control-plane').length;
  return { nodes: [...nodes], options: { ...options, nodes: nodes.length, controlPlanes } };
}

/** A cluster as it is once all removals that were begun are finished. */
export function withoutLeaving(state: ClusterState): ClusterState {
  return {
    ...state,
    ...withNodes(
      state,
      state.nodes.filter(({ leaving }) => leaving !== true),
    ),
  };
}

/** What a provider knows a cluster's machines by. */
export function machinesSpec(state: Pick<ClusterState, 'name' | 'run' | 'image' | 'options' | 'engine'>): MachinesSpec {
  const { name, run, image, options, engine } = state;
  const { acceleration, sandbox } = options;
  return {
    cluster: name,
    run,
    image: image.digest,
    acceleration,
    sandbox,
    ...(engine?.transport === 'unix' ? { engine: engine.path } : {}),
  };
}

/** Files of one cluster: its state, its kubeconfig, and what its runs wrote. */
export interface ClusterFiles {
  readonly folder: string;
  readonly kubeconfig: string;
  /** The manifest of its pod network, where that is one. */
  readonly manifest: string;
  /** Every event of every run, one JSON object a line. */
  readonly events: string;
}

/** The state of all clusters of a user, one folder each in `<state>/clusters`. */
export class ClusterStates {
  readonly #folder: string;

  constructor(directories: Pick<Directories, 'state'>) {
    this.#folder = join(directories.state, 'clusters');
  }

  files(name: string): ClusterFiles {
    const folder = join(this.#folder, name);
    return {
      folder,
      kubeconfig: join(folder, 'kubeconfig'),
      manifest: join(folder, 'pod-network.yaml'),
      events: join(folder, 'events.ndjson'),
    };
  }

  /** A lock that whoever changes a cluster holds. Beside the folder: it stays when the folder goes. */
  lock(name: string): string {
    return join(this.#folder, `${name}.lock`);
  }

  /** @throws KvciError `state-unreadable`, `state-of-another-version` */
  async find(name: string): Promise<ClusterState | undefined> {
    const path = this.#stateFile(name);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw unreadable(path, `cannot be read: ${messageOf(error)}`, error, 'Give it back to the user who runs kvci.');
    }
    return parseState(text, path);
  }

  /** Names of all clusters there are. */
  async names(): Promise<readonly string[]> {
    try {
      const entries = await readdir(this.#folder, { withFileTypes: true });
      return (
        entries
          // Without a state file there is no cluster, whatever else lies there.
          .filter((entry) => entry.isDirectory() && existsSync(this.#stateFile(entry.name)))
          .map(({ name }) => name)
          .toSorted()
      );
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  async save(state: ClusterState): Promise<void> {
    await mkdir(this.files(state.name).folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(this.#stateFile(state.name), `${JSON.stringify(state, null, 2)}\n`, 0o600);
  }

  /** Writes a cluster's kubeconfig for its user alone, and answers it. */
  async saveKubeconfig(name: string, text: string): Promise<string> {
    const { folder, kubeconfig } = this.files(name);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(kubeconfig, text, 0o600);
    return text;
  }

  async remove(name: string): Promise<void> {
    await removeTree(this.files(name).folder);
  }

  #stateFile(name: string): string {
    return join(this.#folder, name, 'state.json');
  }
}

/** @throws KvciError `state-unreadable`, `state-of-another-version` */
export function parseState(text: string, path: string): ClusterState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unreadable(path, 'is no JSON', error);
  }
  const version = z.object({ version: z.unknown() }).safeParse(value).data?.version;
  if (version !== STATE_VERSION) {
    throw new KvciError('failed', 'state-of-another-version', `${path} was written by another version of kvci (${String(version)})`, {
      hint: 'Use that kvci, or remove the cluster with it and make a new one.',
      facts: { file: path },
    });
  }
  const parsed = clusterStateSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw unreadable(path, `has something else than expected at "${issue?.path.join('.') ?? ''}"`, parsed.error);
}

function unreadable(
  path: string,
  problem: string,
  cause: unknown,
  hint = 'Remove its folder; "kvci prune" then takes away what the cluster left.',
): KvciError {
  return new KvciError('failed', 'state-unreadable', `the state file ${path} ${problem}`, {
    hint,
    facts: { file: path },
    cause,
  });
}
