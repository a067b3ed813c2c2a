import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { TemplateSources } from '../core/template.ts';

/** The templates of kvci as texts. */
export interface NodeSources {
  /** `containerfiles/`: by name without `.hbs`. */
  readonly containerfiles: TemplateSources;
  /** `templates/node/`: by relative path, `.hbs` kept. */
  readonly node: ReadonlyMap<string, string>;
}

export interface NodeFile {
  /** Absolute path in the image. */
  readonly path: string;
  readonly mode: number;
  readonly text: string;
}

/** Reads the templates below kvci's own folder. */
export async function readNodeSources(home: string): Promise<NodeSources> {
  return {
    containerfiles: await readTemplates(join(home, 'containerfiles')),
    node: await readTree(join(home, 'templates/node')),
  };
}

/** All templates of `templates/` as a renderer takes them: by name without `.hbs`. */
export async function readTemplates(folder: string): Promise<TemplateSources> {
  return new Map([...(await readTree(folder))].map(([name, text]) => [name.replace(/\.hbs$/, ''), text]));
}

async function readTree(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  return new Map(await Promise.all(paths.toSorted().map(async (path) => [path, await readFile(join(folder, path), 'utf8')] as const)));
}
