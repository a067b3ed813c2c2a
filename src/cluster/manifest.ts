import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

import { sha256 } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { writeFileAtomic } from '../host/files.ts';
import type { KubernetesApi, KubernetesObject } from '../host/kubernetes.ts';
import type { ClusterPorts } from './ports.ts';

const objectSchema: z.ZodType<KubernetesObject> = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});

/** What others in a manifest are made of: namespaces and kinds come before what is in them or of them. */
const FIRST = ['Namespace', 'CustomResourceDefinition'];

/** Applies the objects of a cluster's manifest. @throws KvciError `checksum-mismatch`, `manifest-unreadable`, as Downloads */
export async function applyManifest(
  url: string,
  expected: string,
  ports: Pick<ClusterPorts, 'states' | 'downloads'>,
  cluster: string,
  api: KubernetesApi,
  signal: AbortSignal,
): Promise<void> {
  const text = await manifestText(url, expected, ports.states.files(cluster).manifest, ports.downloads, signal);
  for (const object of readManifest(text, url)) await api.apply(object, signal);
}

/** Downloads a manifest once, checks it and keeps it with its cluster: to start that again takes no network. */
async function manifestText(
  url: string,
  expected: string,
  kept: string,
  downloads: ClusterPorts['downloads'],
  signal: AbortSignal,
): Promise<string> {
  const isIt = (text: string): boolean => sha256(text) === `sha256:${expected}`;
  const before = await readFile(kept, 'utf8').catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (before !== undefined && isIt(before)) return before;
  const text = await (await downloads()).text({ url, signal });
  if (!isIt(text)) throw new KvciError('failed', 'checksum-mismatch', `${url} is not what --sha256 says`, { facts: { url } });
  await writeFileAtomic(kept, text, 0o600);
  return text;
}

/** The objects of a manifest, in the order they can be made. @throws KvciError `manifest-unreadable` */
export function readManifest(text: string, where: string): readonly KubernetesObject[] {
  const objects = parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw unreadable(where, error.message, error);
    const value: unknown = document.toJS();
    if (value === null || value === undefined) return [];
    const parsed = objectSchema.safeParse(value);
    if (!parsed.success) throw unreadable(where, 'a document is no object of Kubernetes', parsed.error);
    return [parsed.data];
  });
  const rank = ({ kind }: KubernetesObject): number => (FIRST.includes(kind) ? FIRST.indexOf(kind) : FIRST.length);
  return objects.toSorted((a, b) => rank(a) - rank(b));
}

function unreadable(where: string, problem: string, cause: unknown): KvciError {
  return new KvciError('usage', 'manifest-unreadable', `${where}: ${problem}`, { cause });
}
