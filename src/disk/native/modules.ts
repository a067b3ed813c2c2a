import { posix } from 'node:path';

import { KvciError } from '../../core/errors.ts';

/** What a kernel's folder tells of its modules. Source: modules.dep(5) */
export interface ModuleLists {
  /** `modules.dep` */
  readonly dependencies: string;
  /** `modules.builtin` */
  readonly builtin: string;
}

/**
 * Paths, relative to the kernel's folder, of the modules that have to be loaded for `names`, in the order in which they can be. What is
 * built into the kernel takes none.
 *
 * @throws KvciError `kernel-without-module`
 */
export function modulesToLoad(names: readonly string[], { dependencies, builtin }: ModuleLists): readonly string[] {
  const needs = new Map(
    dependencies
      .split('\n')
      .map((line) => line.split(/:\s*/))
      .flatMap(([path, needed = '']) =>
        path === undefined || path === '' ? [] : [[path, needed.split(' ').filter((word) => word !== '')]],
      ),
  );
  const paths = new Map([...needs.keys()].map((path) => [nameOf(path), path]));
  const inside = new Set(builtin.split('\n').map(nameOf));
  const order = new Set<string>();
  for (const name of names) {
    const path = paths.get(name);
    if (path !== undefined) for (const module of [...(needs.get(path) ?? []).toReversed(), path]) order.add(module);
    else if (!inside.has(name)) throw new KvciError('failed', 'kernel-without-module', `the kernel of the image has no module ${name}`);
  }
  return [...order];
}

function nameOf(path: string): string {
  return posix
    .basename(path)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}
