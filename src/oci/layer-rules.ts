import { posix } from 'node:path';

import type { TreeEntry } from './types.ts';

/** Entries below `prefixes` stand in a layer of their own. */
export interface LayerRule {
  readonly name: string;
  readonly prefixes: readonly string[];
}

/**
 * Entries by layer: one for each rule that something matches, in the order of the rules, the first match counting, and before
 * them `rest` with everything else. Each layer has the folders among the entries that lead to its own; hard links stand with
 * their target.
 */
export function splitLayers<Entry extends TreeEntry>(
  entries: readonly Entry[],
  rules: readonly LayerRule[],
): readonly { readonly name: string; readonly entries: readonly Entry[] }[] {
  const nameOf = (path: string): string =>
    rules.find(({ prefixes }) => prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`)))?.name ?? 'rest';
  const folders = new Map(entries.filter(({ type }) => type === 'directory').map((entry) => [entry.path, entry]));
  return ['rest', ...rules.map(({ name }) => name)].flatMap((name) => {
    const own = entries.filter(({ type, path, linkname }) => nameOf(type === 'hardlink' ? (linkname ?? path) : path) === name);
    const has = new Set(own.map(({ path }) => path));
    const leading = new Set(own.flatMap(({ path }) => ancestors(path)));
    const parents = [...leading].filter((path) => !has.has(path)).flatMap((path) => folders.get(path) ?? []);
    return own.length === 0 ? [] : [{ name, entries: [...own, ...parents] }];
  });
}

function ancestors(path: string): string[] {
  const above: string[] = [];
  for (let folder = posix.dirname(path); folder !== '.'; folder = posix.dirname(folder)) above.push(folder);
  return above;
}
