import { posix } from 'node:path';

import { KvciError } from '../core/errors.ts';

/** One side of a copy as it is written on the command line. */
export type CopyPath =
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'node'; readonly node: string; readonly path: string; readonly folder: boolean }
  | { readonly kind: 'standard' };

/** `node01:/path` is on a node, `-` standard input or output, everything else on this host: `./a:b` for a name with a colon. */
export function parseCopyPath(text: string): CopyPath {
  if (text === '-') return { kind: 'standard' };
  const [, node, path] = /^([a-z0-9][a-z0-9-]*):(.*)$/s.exec(text) ?? [];
  if (node === undefined || path === undefined) {
    if (text !== '') return { kind: 'local', path: text };
    throw new KvciError('usage', 'bad-path', 'an empty path names nothing');
  }
  if (!path.startsWith('/')) {
    throw new KvciError('usage', 'bad-path', `"${text}": a path on a node is absolute`, { hint: `Write ${node}:/path.` });
  }
  const clean = posix.normalize(path);
  return { kind: 'node', node, path: clean === '/' ? '/' : clean.replace(/\/$/, ''), folder: clean.endsWith('/') };
}

export type Copy =
  | { readonly way: 'up'; readonly from: string | undefined; readonly to: Extract<CopyPath, { readonly kind: 'node' }> }
  | { readonly way: 'down'; readonly from: Extract<CopyPath, { readonly kind: 'node' }>; readonly to: string | undefined };

/** What a copy's two sides ask for; undefined stands for standard input or output. @throws KvciError `bad-path` */
export function parseCopy(source: string, destination: string): Copy {
  const [from, to] = [parseCopyPath(source), parseCopyPath(destination)];
  if (from.kind === 'node' && to.kind !== 'node') return { way: 'down', from, to: to.kind === 'standard' ? undefined : to.path };
  if (from.kind !== 'node' && to.kind === 'node') return { way: 'up', from: from.kind === 'standard' ? undefined : from.path, to };
  throw new KvciError('usage', 'bad-path', 'one of the two is on a node, the other on this host', {
    hint: 'Write "kvci cp FILE node01:/path" or "kvci cp node01:/path FILE".',
  });
}
