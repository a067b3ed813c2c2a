import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

import { sha256 } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { KubernetesApi, KubernetesObject } from '../host/kubernetes.ts';
import type { Downloads } from '../host/types.ts';

const objectSchema: z.ZodType<KubernetesObject> = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});

/** What others in a manifest are made of: namespaces and kinds come before what is in them or of them. */
const FIRST = ['Namespace', 'CustomResourceDefinition'];

/** Downloads a manifest, checks it and applies its objects. @throws KvciError `checksum-mismatch`, `manifest-unreadable`, as Downloads */
export async function applyManifest(
  url: string,
  expected: string,
  downloads: Downloads,
  api: KubernetesApi,
  signal: AbortSignal,
): Promise<void> {
  const text = await downloads.text({ url, signal });
  if (sha256(text) !== `sha256:${expected}`) {
    throw new KvciError('failed', 'checksum-mismatch', `${url} is not what --sha256 says`, { facts: { url } });
  }
  for (const object of readManifest(text, url)) await api.apply(object, signal);
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
