import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Json } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { renderTemplate } from '../core/template.ts';
import { CLUSTER_PLUGINS, pluginImports } from './coredns-plugins.ts';
import type { GoClient } from './go-client.ts';
import { linesOf, type ModuleFiles, textOf } from './modules-lock.ts';
import type { ProgramGroupName } from './program-groups.ts';
import type { PayloadVersions } from './types.ts';

/** Sources of the small programs that are kvci's own: contents of `templates/payload/`. */
export interface ProgramSources {
  readonly pause: string;
  /** A template. */
  readonly coredns: string;
}

export async function readProgramSources(templates: string): Promise<ProgramSources> {
  const read = (path: string): Promise<string> => readFile(join(templates, 'payload', path), 'utf8');
  return { pause: await read('pause/main.go'), coredns: await read('coredns/main.go.hbs') };
}

/** Fills a folder with the main module of a group, ready for `go build` in it. */
export async function writeModuleFolder(folder: string, files: ModuleFiles, main: string | undefined): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'go.mod'), textOf(files.goMod));
  if (files.goSum.length > 0) await writeFile(join(folder, 'go.sum'), textOf(files.goSum));
  if (main !== undefined) await writeFile(join(folder, 'main.go'), main);
}

export async function readModuleFolder(folder: string): Promise<ModuleFiles> {
  const goSum = await readFile(join(folder, 'go.sum'), 'utf8').catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return '';
    throw error;
  });
  return { goMod: linesOf(await readFile(join(folder, 'go.mod'), 'utf8')), goSum: linesOf(goSum) };
}

/** What `mainSource` makes a main.go from, besides the module it belongs to: part of the key of what is built. */
export function mainInputs(group: ProgramGroupName, sources: ProgramSources): Json {
  if (group === 'pause') return sources.pause;
  return group === 'coredns' ? { template: sources.coredns, plugins: [...CLUSTER_PLUGINS].toSorted() } : null;
}

/** The main.go of a group whose main package is kvci's own. */
export async function mainSource(
  group: ProgramGroupName,
  versions: Pick<PayloadVersions, 'coredns'>,
  sources: ProgramSources,
  go: GoClient,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (group === 'pause') return sources.pause;
  if (group !== 'coredns') return undefined;
  const folder = await go.sources({ path: 'github.com/coredns/coredns', version: `v${versions.coredns}` }, signal);
  const imports = pluginImports(await readFile(join(folder, 'plugin.cfg'), 'utf8')).toSorted();
  if (imports.length === 0)
    throw new KvciError('failed', 'coredns-plugins', `CoreDNS ${versions.coredns} names none of a cluster's plugins in plugin.cfg`);
  return renderTemplate(new Map([['payload/coredns/main.go', sources.coredns]]), 'payload/coredns/main.go', { imports });
}
