/*
 * What may import what. `eslint.config.ts` tells it in the editor, `test/architecture.test.ts` for the whole tree.
 */

/** The rooms of `src/` along the way of the data: a room imports only from rooms before it in this list. */
export const ROOMS = [
  'core',
  'host',
  'oci',
  'sandbox',
  'distro',
  'payload',
  'image',
  'disk',
  'machine',
  'verify',
  'cluster',
  'snapshot',
  'release',
  'compat',
  'config',
  'report',
  'cli',
] as const;

export type Room = (typeof ROOMS)[number];

/** Rooms that the order alone would let meet. */
const APART: readonly (readonly [importer: Room, imported: Room])[] = [
  ['cluster', 'verify'],
  ...ROOMS.filter((room) => room !== 'core' && room !== 'report' && room !== 'cli').map((room) => ['report', room] as const),
];

/** True when a file of one room may import a file of another. */
export function mayImport(importer: Room, imported: Room): boolean {
  return ROOMS.indexOf(imported) <= ROOMS.indexOf(importer) && !APART.some(([from, to]) => from === importer && to === imported);
}

/** Third-party libraries that do I/O: each is imported by exactly one file of `src/host/adapters/`. */
export const IO_LIBRARIES = ['execa', 'dockerode', 'undici', 'tar-stream', 'ssh2', '@kubernetes/client-node'] as const;

/** Libraries that have one place. */
export const PLACES: Readonly<Record<string, string>> = {
  '@bomb.sh/tab': 'src/cli/completion.ts',
  commander: 'src/cli/',
  handlebars: 'src/core/template.ts',
};

/** Modules of Node's that the core, which does no I/O, cannot need. */
export const NO_IO_IN_CORE = /^node:(child_process|dgram|dns|fs|http2?|https|net|os|readline|tls|worker_threads)(\/|$)/;
