import type { Bind, SandboxRequest } from './types.ts';

/** Flags of unshare(1) for a sandbox. Ids are mapped by kvci afterwards: releases before 2.38 cannot map ranges. */
export function unshareArguments(network: SandboxRequest['network']): string[] {
  return [
    '--user',
    '--mount',
    '--pid',
    '--ipc',
    '--uts',
    '--cgroup',
    ...(network === 'private' ? ['--net'] : []),
    '--fork',
    '--kill-child',
  ];
}

/**
 * What runs first in the new namespaces, still without ids and so without rights: says which process it is on the host (the
 * /proc it sees is still the host's), waits for its ids to be mapped and becomes root of its namespaces by the exec.
 */
export const AWAIT_IDS = 'read -r pid rest </proc/self/stat && echo "pid $pid" && read -r word && [ "$word" = mapped ] && exec "$@"';

/** A file of the host whose content a sandbox gets. */
export interface Copy {
  readonly host: string;
  readonly inside: string;
}

export interface InitRequest {
  /** Path of `init.sh`. */
  readonly init: string;
  /** Folder of the tools image; undefined keeps the host's root. */
  readonly tree: string | undefined;
  /** An empty folder of the host to mount on; only for a tree. */
  readonly stage: string;
  readonly network: SandboxRequest['network'];
  readonly cgroups: boolean;
  readonly scratch: string | undefined;
  readonly binds: readonly Bind[];
  readonly copies: readonly Copy[];
  readonly settings: NonNullable<SandboxRequest['settings']>;
}

/** The whole command that becomes a sandbox's pid 1; the arguments of `init.sh` are explained there. */
export function sandboxArgv(request: InitRequest): [string, ...string[]] {
  return [
    'unshare',
    ...unshareArguments(request.network),
    '--',
    'sh',
    '-c',
    AWAIT_IDS,
    'sh',
    'sh',
    request.init,
    'prepare',
    request.tree ?? '',
    request.stage,
    request.network,
    request.cgroups ? 'yes' : 'no',
    request.scratch ?? '',
    ...Object.entries(request.settings).flatMap(([path, value]) => ['set', value, `/proc/sys/${path}`]),
    ...request.copies.flatMap(({ host, inside }) => ['copy', host, inside]),
    // Parents before what is bound below them.
    ...request.binds
      .toSorted((a, b) => (a.inside < b.inside ? -1 : 1))
      .flatMap(({ host, inside, writable }) => [writable ? 'rw' : 'ro', host, inside]),
  ];
}
