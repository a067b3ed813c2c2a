import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';

import type { HostService, ImageService, Services, ServiceSettings } from './cli/services.ts';
import { hasErrno, KvciError } from './core/errors.ts';
import type { RunContext } from './core/plan.ts';
import type { EngineSurroundings } from './host/engine/discovery.ts';
import type { PrunableStore } from './host/store/artifact-store.ts';
import type { CommandRunner, Directories, HostCheck, Ledger, Locks } from './host/types.ts';

/*
 * Environment and settings -> adapters and services, each imported when it is first asked for. The only file that imports
 * adapters.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

export function createServices(environment: Environment, settings: ServiceSettings, run: RunContext): Services {
  const host = once(() => hostParts(environment, run));
  return {
    image: once(() => imageService(environment, settings, run)),
    host: once(async () => hostService(environment, await host())),
  };
}

// ---- the host -------------------------------------------------------------------------------------------------------

/** What nearly every command needs of the machine. */
interface HostParts {
  readonly directories: Directories;
  readonly commands: CommandRunner;
  readonly locks: Locks;
  readonly store: PrunableStore;
  readonly ledger: Ledger;
  readonly home: string;
  readonly uid: number;
}

async function hostParts(environment: Environment, run: RunContext): Promise<HostParts> {
  const { chooseDirectories, makeDirectories } = await import('./host/directories.ts');
  const { fileLocks } = await import('./host/locks.ts');
  const { fileLedger } = await import('./host/ledger.ts');
  const { createArtifactStore } = await import('./host/store/artifact-store.ts');
  const { hostCommands } = await import('./host/adapters/execa-commands.ts');
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
  return {
    directories,
    commands: hostCommands(run.events, run.clock),
    locks,
    store: createArtifactStore({ directories, locks, clock: run.clock }),
    ledger: fileLedger(directories),
    home,
    uid: process.geteuid?.() ?? 0,
  };
}

async function hostService(environment: Environment, host: HostParts): Promise<HostService> {
  const { createHostService } = await import('./cli/host-service.ts');
  const { findPackageManager } = await import('./host/package-manager.ts');
  const { hostChecks } = await import('./host/checks.ts');
  const { engineCheck } = await import('./host/engine/checks.ts');
  const { connectEngine } = await import('./host/adapters/dockerode-engine.ts');
  const { NO_CREDENTIALS } = await import('./host/engine/registry-credentials.ts');
  const packageManager = (): ReturnType<typeof findPackageManager> => findPackageManager(host.commands);
  const checks = (): readonly HostCheck[] => [
    ...hostChecks({ directories: host.directories, locks: host.locks, packageManager }),
    engineCheck({ kind: 'auto' }, engineSurroundings(environment, host), (endpoint) => connectEngine(endpoint, NO_CREDENTIALS)),
  ];
  return createHostService({ ...host, reapers: [], packageManager, checks });
}

function engineSurroundings(environment: Environment, { home, uid }: HostParts): EngineSurroundings {
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

// ---- images ---------------------------------------------------------------------------------------------------------

function imageService(_environment: Environment, _settings: ServiceSettings, _run: RunContext): Promise<ImageService> {
  return Promise.reject(new KvciError('bug', 'not-wired', 'image commands are not connected yet'));
}

/** A service is made once, however often it is asked for. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
