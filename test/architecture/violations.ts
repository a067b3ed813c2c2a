import { posix } from 'node:path';

import { type Import, importsOf } from './imports.ts';
import { IO_LIBRARIES, mayImport, NO_IO_IN_CORE, PLACES, type Room, ROOMS } from './rules.ts';

/** Source text by path from the repository's root: `src/core/errors.ts`. */
export type Sources = ReadonlyMap<string, string>;

/** Every import that breaks a rule, as `file:line: what is wrong`. Tests may import what they test with. */
export function violations(sources: Sources): string[] {
  const files = [...sources].filter(([path]) => !path.endsWith('.test.ts')).map(([path, source]) => ({ path, imports: importsOf(source) }));
  return [
    ...files.flatMap(({ path, imports }) =>
      imports.flatMap((imported) => wrongImport(path, imported).map((problem) => `${path}:${imported.line}: ${problem}`)),
    ),
    ...sharedLibraries(files),
    ...cycles(files),
    ...files.filter(({ path }) => posix.basename(path) === 'index.ts').map(({ path }) => `${path}: barrels hide where things are`),
  ];
}

interface File {
  readonly path: string;
  readonly imports: readonly Import[];
}

function wrongImport(path: string, { specifier }: Import): string[] {
  const target = targetOf(path, specifier);
  if (target === undefined) return wrongLibrary(path, specifier);
  const problems: string[] = [];
  if (!target.startsWith('src/')) problems.push(`${specifier} lies outside of src/`);
  if (target.startsWith('src/host/adapters/') && !path.startsWith('src/wiring/') && !path.startsWith('src/host/adapters/')) {
    problems.push('only src/wiring/ imports adapters');
  }
  if (target === 'src/main.ts' || (isWiring(target) && path !== 'src/main.ts' && !isWiring(path)))
    problems.push(`nothing imports ${target}`);
  const [from, to] = [roomOf(path), roomOf(target)];
  if (from !== undefined && to !== undefined && !mayImport(from, to)) problems.push(`${from} must not import from ${to}`);
  return problems;
}

function wrongLibrary(path: string, specifier: string): string[] {
  const problems: string[] = [];
  const library = libraryOf(specifier);
  if (isIoLibrary(library) && !path.startsWith('src/host/adapters/')) problems.push(`${library} belongs to its adapter`);
  const place = PLACES[library];
  if (place !== undefined && !path.startsWith(place)) problems.push(`${library} belongs to ${place}`);
  if (roomOf(path) === 'core' && NO_IO_IN_CORE.test(specifier)) problems.push('core does no I/O');
  return problems;
}

/** `@scope/name` or `name` of `name/sub/path`. */
function libraryOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function isIoLibrary(library: string): boolean {
  return (IO_LIBRARIES as readonly string[]).includes(library);
}

function sharedLibraries(files: readonly File[]): string[] {
  return IO_LIBRARIES.flatMap((library) => {
    const users = files.filter(({ imports }) => imports.some(({ specifier }) => libraryOf(specifier) === library)).map(({ path }) => path);
    return users.length > 1 ? [`${library} has more than one adapter: ${users.join(', ')}`] : [];
  });
}

/** Files that need each other at run time. */
function cycles(files: readonly File[]): string[] {
  const graph = new Map(
    files.map(({ path, imports }) => [
      path,
      imports.filter(({ typeOnly }) => !typeOnly).flatMap(({ specifier }) => targetOf(path, specifier) ?? []),
    ]),
  );
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at !== -1) found.push(`import cycle: ${[...trail.slice(at), path].join(' -> ')}`);
    if (at !== -1 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}

/** The file that a relative specifier names; undefined for libraries. */
function targetOf(path: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined;
}

function roomOf(path: string): Room | undefined {
  const [top, folder, ...rest] = path.split('/');
  return top === 'src' && rest.length > 0 ? ROOMS.find((room) => room === folder) : undefined;
}

function isWiring(path: string): boolean {
  return path === 'src/wiring.ts' || path.startsWith('src/wiring/');
}
