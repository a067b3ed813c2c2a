import { existsSync, readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { hasErrno, KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineSurroundings } from '../host/engine/discovery.ts';
import type { PackageManager } from '../host/package-manager.ts';
import type { PrunableStore } from '../host/store/artifact-store.ts';
import type { CommandRunner, Directories, Ledger, Locks } from '../host/types.ts';
import type { Architecture } from '../payload/types.ts';
import type { HostUser } from '../sandbox/map-ids.ts';
import type { Sandboxes } from '../sandbox/types.ts';

/** kvci's own folder: templates lie beside `src/` in a checkout and beside `dist/` in the npm package. */
export const OWN_FOLDER = fileURLToPath(new URL('../..', import.meta.url));

export type Environment = Readonly<Record<string, string | undefined>>;

/** What nearly every command needs of the machine. */
export interface HostParts {
  readonly directories: Directories;
  readonly commands: CommandRunner;
  readonly locks: Locks;
  readonly store: PrunableStore;
  readonly ledger: Ledger;
  readonly home: string;
  readonly uid: number;
  readonly signal: AbortSignal;
}

export async function hostParts(environment: Environment, run: RunContext): Promise<HostParts> {
  const { chooseDirectories, makeDirectories } = await import('../host/directories.ts');
  const { fileLocks } = await import('../host/locks.ts');
  const { fileLedger } = await import('../host/ledger.ts');
  const { createArtifactStore } = await import('../host/store/artifact-store.ts');
  const { hostCommands } = await import('../host/adapters/execa-commands.ts');
  const home = homedir();
  const directories = await makeDirectories(
    chooseDirectories({
      home,
      xdgCacheHome: environment['XDG_CACHE_HOME'],
      xdgStateHome: environment['XDG_STATE_HOME'],
      xdgRuntimeDir: environment['XDG_RUNTIME_DIR'],
      cache: environment['KVCI_CACHE_DIR'],
      state: environment['KVCI_STATE_DIR'],
      runtime: environment['KVCI_RUNTIME_DIR'],
    }),
  );
  const locks = fileLocks(run.clock);
  const commands = hostCommands(run.events, run.clock);
  const uid = process.geteuid?.() ?? 0;
  return {
    directories,
    commands,
    locks,
    store: createArtifactStore({
      directories,
      locks,
      clock: run.clock,
      removeTree: mappedTreeRemover(environment, { commands, directories, uid }),
    }),
    ledger: fileLedger(directories),
    home,
    uid,
    signal: run.signal,
  };
}

/** Asked anew each time: what `--fix` installs may be what was looked for. */
export async function packageManagerOf(host: HostParts): Promise<() => Promise<PackageManager | undefined>> {
  const { findPackageManager } = await import('../host/package-manager.ts');
  return () => findPackageManager(host.commands);
}

/** An ordinary user's artifacts may hold files of subordinate ids: the tools image does. */
function mappedTreeRemover(environment: Environment, host: SandboxHost): (path: string) => Promise<void> {
  return async (path) => {
    const { removeMappedTree } = await import('../sandbox/mapped-folder.ts');
    // Also after Ctrl-C: the signal of the run is no reason to leave the folder.
    await removeMappedTree(path, await hostNamespaces(environment, host, noTools), new AbortController().signal);
  };
}

function noTools(): Promise<never> {
  return Promise.reject(new KvciError('bug', 'no-tools', 'removing a folder needs no tools image'));
}

type SandboxHost = Pick<HostParts, 'commands' | 'directories' | 'uid'>;

export function hostUser({ uid }: Pick<HostParts, 'uid'>): HostUser {
  return { uid, gid: process.getegid?.() ?? 0, name: userInfo().username };
}

/** What runs first in every sandbox. */
export const SANDBOX_INIT = join(OWN_FOLDER, 'templates/sandbox/init.sh');

/** Sandboxes of namespaces. @param tools where the tools image lies, made first if it is not there */
export async function hostNamespaces(
  environment: Environment,
  host: SandboxHost,
  tools: (signal: AbortSignal) => Promise<string>,
): Promise<Sandboxes> {
  const { namespaceSandboxes } = await import('../sandbox/namespaces.ts');
  const { idMapper } = await import('../sandbox/map-ids.ts');
  return namespaceSandboxes({
    commands: host.commands,
    directories: host.directories,
    environment,
    init: SANDBOX_INIT,
    mapIds: idMapper(hostUser(host), host.commands),
    tools,
  });
}

export function engineSurroundings(environment: Environment, { home, uid }: HostParts): EngineSurroundings {
  return {
    env: environment,
    home,
    uid,
    exists: existsSync,
    readText: (path) => {
      try {
        return readFileSync(path, 'utf8');
      } catch (error) {
        if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
        throw error;
      }
    },
  };
}

export function hostArchitecture(): Architecture {
  return process.arch === 'arm64' ? 'arm64' : 'amd64';
}

/** A service is made once, however often it is asked for. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
