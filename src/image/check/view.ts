import type { TreeNode } from '../../oci/tree.ts';
import type { FileObservation, ImageTree } from './types.ts';

/** Links followed in one path before it counts as a loop, as Linux has it (MAXSYMLINKS). */
const MAX_LINKS = 40;

/** Asks an image tree what facts ask: paths through links, folders, configuration wherever it lies. Paths are relative, as in the tree. */
export class ImageView {
  readonly tree: ImageTree;
  readonly #children = new Map<string, string[]>();

  constructor(tree: ImageTree) {
    this.tree = tree;
    for (const path of tree.nodes.keys()) {
      if (path === '.') continue;
      const parent = parentOf(path);
      const siblings = this.#children.get(parent);
      if (siblings === undefined) this.#children.set(parent, [path]);
      else siblings.push(path);
    }
    for (const siblings of this.#children.values()) siblings.sort();
  }

  get labels(): Readonly<Record<string, string>> {
    return this.tree.config.config?.Labels ?? {};
  }

  /** The entry at exactly this path, links not followed. */
  entry(path: string): TreeNode | undefined {
    return this.tree.nodes.get(path);
  }

  all(): Iterable<TreeNode> {
    return this.tree.nodes.values();
  }

  /** Paths directly in a folder, sorted. */
  children(directory: string): readonly string[] {
    return this.#children.get(directory) ?? [];
  }

  /** Everything below a folder, depth first. */
  *below(directory: string): Iterable<TreeNode> {
    for (const path of this.children(directory)) {
      const entry = this.entry(path);
      if (entry !== undefined) yield entry;
      yield* this.below(path);
    }
  }

  /** Where a path leads through symbolic links, whether something is there or not; undefined for a loop. */
  resolve(path: string): string | undefined {
    let rest = components(path);
    let done: string[] = [];
    let links = 0;
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      if (part === '..') {
        done.pop();
        continue;
      }
      const entry = this.entry([...done, part].join('/'));
      if (entry?.type !== 'symlink' || entry.linkname === undefined) {
        done.push(part);
        continue;
      }
      links += 1;
      if (links > MAX_LINKS) return undefined;
      if (entry.linkname.startsWith('/')) done = [];
      rest = [...components(entry.linkname), ...rest];
    }
    return done.join('/');
  }

  /** What a path leads to through symbolic links. */
  target(path: string): TreeNode | undefined {
    const resolved = this.resolve(path);
    return resolved === undefined ? undefined : this.entry(resolved);
  }

  /** The text a path leads to; undefined where there is no such file, or no fact's `reads` names it. */
  text(path: string): string | undefined {
    const content = this.bytes(path);
    return content === undefined ? undefined : Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('utf8');
  }

  bytes(path: string): Uint8Array | undefined {
    const target = this.target(path);
    return target === undefined ? undefined : this.tree.content(target.path);
  }

  observation(path: string): FileObservation | undefined {
    const target = this.target(path);
    return target === undefined ? undefined : this.tree.observation(target.path);
  }

  /** Configuration below `/etc`, or `/usr/etc` where an ostree commit keeps it: both names of a path, in the order they are read. */
  etc(path: string): string {
    const atRoot = path === '' ? 'etc' : `etc/${path}`;
    const inUsr = `usr/${atRoot}`;
    return this.entry(atRoot) === undefined && this.entry(inUsr) !== undefined ? inUsr : atRoot;
  }

  /**
   * Files of a drop-in folder family (`sysctl.d`) with a suffix, sorted by file name; one in /etc hides its namesake in /usr/lib,
   * and a link to /dev/null hides it without taking its place.
   */
  dropIns(directory: string, suffix: string): readonly string[] {
    const byName = new Map<string, string>();
    for (const folder of [`usr/lib/${directory}`, `usr/local/lib/${directory}`, this.etc(directory)]) {
      for (const path of this.children(folder)) if (path.endsWith(suffix)) byName.set(nameOf(path), path);
    }
    return [...byName]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, path]) => path)
      .filter((path) => this.resolve(path) !== 'dev/null');
  }
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '.' : path.slice(0, slash);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function components(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

/** Lines of a configuration file without comments (`#`, `;`) and blank ones, trimmed. */
export function configLines(text: string | undefined): string[] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith(';'));
}
