import { chmod, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { KvciError } from '../core/errors.ts';
import type { CommandRunner } from '../host/types.ts';
import { flattenAbove } from '../oci/flatten.ts';
import type { Image } from '../oci/image.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Tree } from '../oci/tree.ts';
import { unpackArgv } from './tools-packages.ts';

const NOTHING: Tree = { layers: [], nodes: new Map() };

/** What engines leave of the container that built an image. */
const LEFTOVERS = ['.dockerenv', 'run/.containerenv'];

/**
 * Unpacks an image as the root of sandboxes: its layers merged, all files whoever runs kvci's own, without devices.
 *
 * @param commands has `tar`
 */
export async function unpackTree(
  layout: ImageLayout,
  image: Image,
  root: string,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(root);
  await chmod(root, 0o755);
  await using flat = await flattenAbove(layout, NOTHING, image.manifest.layers, LEFTOVERS);
  const entries = flat.entries.filter(({ path }) => !path.startsWith('dev/'));
  await commands.run(unpackArgv('-', root), { stdin: layout.tar.write(entries), signal });
}

/**
 * Checks that a tree has what kvci runs.
 *
 * @throws KvciError `not-a-tools-image` naming the packages that are missing
 */
export async function checkTools(root: string, wanted: readonly string[], origin: string): Promise<void> {
  const installed = installedPackages(await readFile(join(root, 'var/lib/dpkg/status'), 'utf8').catch(() => ''));
  const missing = wanted.filter((name) => !installed.has(name));
  if (missing.length === 0) return;
  throw new KvciError('failed', 'not-a-tools-image', `${origin} is no tools image of this kvci: it lacks ${missing.join(', ')}`, {
    hint: 'Name one that was made for this version of kvci, or leave the setting out: kvci makes its own.',
    facts: { image: origin, missing },
  });
}

/** The names in dpkg's status file (dpkg-query(1)) that are wholly installed. */
export function installedPackages(status: string): ReadonlySet<string> {
  const stanzas = status.split(/\n\n+/).filter((stanza) => /^Status: install ok installed$/m.test(stanza));
  return new Set(stanzas.flatMap((stanza) => /^Package: (\S+)$/m.exec(stanza)?.[1] ?? []));
}
