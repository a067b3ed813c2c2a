import { KvciError, messageOf, throwIfCancelled } from '../core/errors.ts';
import type { RecordedRun } from '../core/recorded-run.ts';
import { maskKnownSecrets } from '../core/secret-patterns.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';
import type { Tar } from '../host/tar.ts';
import type { Machines, NodeHandle } from '../machine/types.ts';
import { COMMAND_DEADLINE_MS } from './deadlines.ts';
import type { ClusterState } from './state.ts';

export interface NodeLog {
  readonly node: string;
  /** A node that does not run has only its console. */
  readonly source: 'journal' | 'console';
  readonly text: string;
}

/** Where the container runtime puts what pods print, of containers that were restarted, too. */
const POD_LOGS = '/var/log/pods';

/** The journal of a node; its console when it does not run. */
export async function nodeLog(name: string, machines: Machines, signal: AbortSignal): Promise<NodeLog> {
  let handle: NodeHandle;
  try {
    handle = await machines.node(name, signal);
  } catch (error) {
    if (!(error instanceof KvciError) || error.code !== 'node-stopped') throw error;
    return { node: name, source: 'console', text: await machines.console(name) };
  }
  return { node: name, source: 'journal', text: await journal(handle, signal) };
}

async function journal(handle: NodeHandle, signal: AbortSignal): Promise<string> {
  const argv = ['journalctl', '--no-pager', '--output', 'short-iso-precise'] as const;
  return (await handle.run(argv, { timeoutMs: COMMAND_DEADLINE_MS, signal })).stdout;
}

export interface BundleParts {
  readonly state: ClusterState;
  readonly machines: Machines;
  /** Undefined when the cluster has no API yet. */
  readonly api: KubernetesApi | undefined;
  /** The file of events as it is, and what it tells. */
  readonly events: string;
  readonly runs: readonly RecordedRun[];
  readonly tar: Tar;
  readonly signal: AbortSignal;
}

export interface BundleFile {
  readonly path: string;
  readonly text: string;
}

/**
 * All that tells how a cluster is and came to be, one file after the other, secrets masked. What cannot be read is told in
 * `missing.txt`, the last.
 */
export async function* bundleFiles(parts: BundleParts): AsyncGenerator<BundleFile> {
  const missing: string[] = [];
  for await (const file of unmasked(parts, missing)) yield { path: file.path, text: maskKnownSecrets(file.text) };
  yield { path: 'missing.txt', text: missing.map((line) => `${line}\n`).join('') };
}

async function* unmasked(parts: BundleParts, missing: string[]): AsyncGenerator<BundleFile> {
  const { state, machines, api, signal } = parts;
  /** Nothing that cannot be read keeps the rest from being collected. */
  const attempt = async (path: string, read: () => Promise<string>): Promise<readonly BundleFile[]> => {
    throwIfCancelled(signal);
    try {
      return [{ path, text: await read() }];
    } catch (error) {
      throwIfCancelled(signal);
      missing.push(`${path}: ${messageOf(error)}`);
      return [];
    }
  };
  yield { path: 'state.json', text: `${JSON.stringify(state, null, 2)}\n` };
  yield { path: 'events.ndjson', text: parts.events };
  yield* kubeadmOutput(parts.runs);
  for (const { name } of state.nodes) {
    const folder = `nodes/${name}`;
    yield* await attempt(`${folder}/console.txt`, () => machines.console(name));
    const [handle] = await handleOf(name, parts, missing);
    if (handle === undefined) continue;
    yield* await attempt(`${folder}/journal.txt`, () => journal(handle, signal));
    try {
      yield* podLogs(folder, handle, parts);
    } catch (error) {
      throwIfCancelled(signal);
      missing.push(`${folder}/pods: ${messageOf(error)}`);
    }
  }
  if (api === undefined) return;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(API_MS)]);
  yield* await attempt('kubernetes/events.txt', async () => (await api.events(limit)).map((line) => `${line}\n`).join(''));
  yield* await attempt('kubernetes/nodes-and-pods.json', async () => `${JSON.stringify(await api.view(limit), null, 2)}\n`);
}

/** An API server that is in trouble is one of the reasons why logs are collected. */
const API_MS = 10_000;

async function handleOf(name: string, { machines, signal }: BundleParts, missing: string[]): Promise<readonly NodeHandle[]> {
  try {
    return [await machines.node(name, signal)];
  } catch (error) {
    throwIfCancelled(signal);
    missing.push(`nodes/${name}: ${messageOf(error)}`);
    return [];
  }
}

/** What kubeadm printed, run by run. */
export function kubeadmOutput(runs: readonly RecordedRun[]): readonly BundleFile[] {
  const files = new Map<string, string>();
  for (const { from, command, output } of runs) {
    for (const { step, line } of output) {
      if (!/^(certificates|init|join)\b/.test(step)) continue;
      const time = new Date(from).toISOString().replaceAll(':', '');
      const path = `kubeadm/${[time, command, step].join('-').replaceAll(/[^A-Za-z0-9.]+/g, '-')}.txt`;
      files.set(path, `${files.get(path) ?? ''}${line}\n`);
    }
  }
  return [...files].map(([path, text]) => ({ path, text }));
}

async function* podLogs(folder: string, handle: NodeHandle, { tar, signal }: BundleParts): AsyncGenerator<BundleFile> {
  for await (const entry of tar.read(await handle.pack(POD_LOGS, signal))) {
    if (entry.type !== 'file') continue;
    const text = Buffer.concat((await entry.content().toArray()) as Buffer[]).toString('utf8');
    // As they are on the node, but one: `pods/kube-system_etcd-node01_UID/etcd/0.log`.
    yield { path: `${folder}/${entry.path}`, text };
  }
}
