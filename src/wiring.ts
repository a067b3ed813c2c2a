import { existsSync, readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { HostService, ImageService, Services, ServiceSettings } from './cli/services.ts';
import { hasErrno, KvciError } from './core/errors.ts';
import type { RunContext } from './core/plan.ts';
import type { EngineChoice, EngineSurroundings } from './host/engine/discovery.ts';
import type { EngineEndpoint } from './host/engine/endpoint.ts';
import type { PackageManager } from './host/package-manager.ts';
import type { PrunableStore } from './host/store/artifact-store.ts';
import type { CommandRunner, ContainerEngine, Directories, Downloads, HostCheck, Ledger, Locks } from './host/types.ts';
import type { ImageOptions } from './image/options.ts';
import type { ImagePorts } from './image/ports.ts';
import type { Architecture, PayloadSource, PayloadSourceName } from './payload/types.ts';
import type { DebianHost } from './sandbox/debian-resolve.ts';
import type { DebianPackageSet } from './sandbox/debian-types.ts';
import type { HostUser } from './sandbox/map-ids.ts';
import type { Sandboxes } from './sandbox/types.ts';

/*
 * Environment and settings -> adapters and services, each imported when it is first asked for. The only file that imports
 * adapters.
 */

/** kvci's own folder: templates lie beside `src/` in a checkout and beside `dist/` in the npm package. */
const ownFolder = fileURLToPath(new URL('..', import.meta.url));

export type Environment = Readonly<Record<string, string | undefined>>;

export function createServices(environment: Environment, settings: ServiceSettings, run: RunContext): Services {
  const host = once(() => hostParts(environment, run));
  return {
    image: once(async () => imageService(environment, settings, await host(), run)),
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
  readonly signal: AbortSignal;
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
    signal: run.signal,
  };
}

async function hostService(environment: Environment, host: HostParts): Promise<HostService> {
  const { createHostService } = await import('./cli/host-service.ts');
  const { hostChecks } = await import('./host/checks.ts');
  const { engineCheck } = await import('./host/engine/checks.ts');
  const { connectEngine } = await import('./host/adapters/dockerode-engine.ts');
  const { NO_CREDENTIALS } = await import('./host/engine/registry-credentials.ts');
  const { modulesChecks } = await import('./payload/checks.ts');
  const { sandboxChecks } = await import('./sandbox/checks.ts');
  const { sandboxReapers } = await import('./sandbox/reaper.ts');

  const packageManager = await packageManagerOf(host);
  const checks = (): readonly HostCheck[] => [
    ...hostChecks({ directories: host.directories, locks: host.locks, packageManager }),
    ...sandboxChecks(host.commands, hostUser(host)),
    ...modulesChecks(host.commands, host.directories.cache),
    engineCheck({ kind: 'auto' }, engineSurroundings(environment, host), (endpoint) => connectEngine(endpoint, NO_CREDENTIALS)),
  ];
  const sandboxes = await hostSandboxes(environment, host, () =>
    Promise.reject(new KvciError('bug', 'no-tools', 'nothing that doctor and prune do needs the tools image')),
  );
  return createHostService({ ...host, reapers: sandboxReapers(sandboxes, host.signal), packageManager, checks });
}

/** Asked anew each time: what `--fix` installs may be what was looked for. */
async function packageManagerOf(host: HostParts): Promise<() => Promise<PackageManager | undefined>> {
  const { findPackageManager } = await import('./host/package-manager.ts');
  return () => findPackageManager(host.commands);
}

function hostUser({ uid }: HostParts): HostUser {
  return { uid, gid: process.getegid?.() ?? 0, name: userInfo().username };
}

/** @param tools where the tools image lies, made first if it is not there */
async function hostSandboxes(
  environment: Environment,
  host: HostParts,
  tools: (signal: AbortSignal) => Promise<string>,
): Promise<Sandboxes> {
  const { namespaceSandboxes } = await import('./sandbox/namespaces.ts');
  const { idMapper } = await import('./sandbox/map-ids.ts');
  return namespaceSandboxes({
    commands: host.commands,
    directories: host.directories,
    environment,
    init: join(ownFolder, 'templates/sandbox/init.sh'),
    mapIds: idMapper(hostUser(host), host.commands),
    tools,
  });
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

async function imageService(environment: Environment, settings: ServiceSettings, host: HostParts, run: RunContext): Promise<ImageService> {
  const { createImageService } = await import('./cli/image-service.ts');
  const service = createImageService(await imagePorts(environment, settings, host, run));
  if (!settings.setup) return service;
  const prepare = (options: ImageOptions): Promise<void> => prepareForImage(options, host, run);
  return {
    ...service,
    build: async (options, flags, context) => prepare(options).then(() => service.build(options, flags, context)),
    render: async (options, flags, context) => prepare(options).then(() => service.render(options, flags, context)),
    lock: async (options, flags, context) => prepare(options).then(() => service.lock(options, flags, context)),
  };
}

/** `--setup`: installs what making this image needs of the host, and nothing else. */
async function prepareForImage(options: ImageOptions, host: HostParts, run: RunContext): Promise<void> {
  const { prepareHost } = await import('./cli/host-service.ts');
  const { modulesChecks } = await import('./payload/checks.ts');
  const { sandboxChecks } = await import('./sandbox/checks.ts');
  const compiles = options.payload === 'auto' || options.payload === 'modules';
  const checks = (): readonly HostCheck[] => [
    ...sandboxChecks(host.commands, hostUser(host)),
    ...(compiles ? modulesChecks(host.commands, host.directories.cache) : []),
  ];
  await prepareHost(checks, { ...host, packageManager: await packageManagerOf(host) }, run);
}

async function imagePorts(environment: Environment, settings: ServiceSettings, host: HostParts, run: RunContext): Promise<ImagePorts> {
  const { createLayout } = await import('./oci/layout.ts');
  const { tarStreamTar } = await import('./host/adapters/tar-stream-tar.ts');
  const { undiciDownloads } = await import('./host/adapters/undici-downloads.ts');
  const { proxyBuildArgs } = await import('./host/engine/proxy.ts');
  const { fetchPackages } = await import('./sandbox/debian-repository.ts');
  const { findArchives } = await import('./sandbox/debian-resolve.ts');
  const { openDebianHost } = await import('./sandbox/debian-host.ts');
  const { readNodeSources } = await import('./image/sources.ts');

  const { directories, locks, store, ledger } = host;
  const layoutTools = { tar: tarStreamTar, locks };
  const { config } = await settings.config();
  const mirrors = config.mirrors?.debian === undefined ? undefined : [config.mirrors.debian];
  const downloads = undiciDownloads({
    offline: settings.offline,
    httpProxy: environment['HTTP_PROXY'] ?? environment['http_proxy'],
    httpsProxy: environment['HTTPS_PROXY'] ?? environment['https_proxy'],
    noProxy: environment['NO_PROXY'] ?? environment['no_proxy'],
  });
  const nodeSources = once(() => readNodeSources(ownFolder));
  const tools = await toolsImage(environment, settings, host, downloads, mirrors, run);
  const sandboxes = tools.sandboxes;
  const archives = (set: DebianPackageSet, debian: DebianHost) => () =>
    findArchives({ suite: set.suite, architecture: set.architecture, ...(mirrors === undefined ? {} : { mirrors }) }, debian);
  return {
    store,
    locks,
    ledger,
    directories,
    layout: once(() => createLayout(join(directories.cache, 'images'), layoutTools)),
    layoutIn: (folder) => createLayout(folder, layoutTools),
    tools,
    debian: (signal, onLine) => openDebianHost({ directories, ledger, sandboxes }, signal, onLine),
    debianRepository: (set, debian, onProgress) =>
      fetchPackages(set, {
        store,
        downloads,
        commands: debian.commands,
        archives: archives(set, debian),
        signal: debian.signal,
        onProgress,
      }),
    debianMirrors: mirrors,
    engine: (choice) => openEngine(choice, environment, host, sandboxes, run),
    payloadSource: (name, path) => payloadSource(name, path, settings, host, { sandboxes, downloads, mirrors }),
    resolveDigest: () => Promise.reject(new KvciError('bug', 'not-wired', 'published bases are not connected yet')),
    nodeSources,
    proxyBuildArgs: proxyBuildArgs(environment),
    hostArchitecture: hostArchitecture(),
    kvci: { version: readVersion(), revision: undefined },
  };
}

function hostArchitecture(): Architecture {
  return process.arch === 'arm64' ? 'arm64' : 'amd64';
}

function readVersion(): string {
  return (JSON.parse(readFileSync(join(ownFolder, 'package.json'), 'utf8')) as { version: string }).version;
}

async function toolsImage(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  downloads: Downloads,
  mirrors: readonly string[] | undefined,
  run: RunContext,
): Promise<ImagePorts['tools'] & { readonly sandboxes: Sandboxes }> {
  const { toolsFromPackages } = await import('./sandbox/tools-from-packages.ts');
  const { packagesOf } = await import('./sandbox/tools-packages.ts');
  const { toolsContainerfile, toolsStep } = await import('./sandbox/tools-image.ts');
  const { runStep } = await import('./core/plan.ts');
  const { readNodeSources } = await import('./image/sources.ts');

  const { containerfiles } = await readNodeSources(ownFolder);
  const architecture = hostArchitecture();
  let pinned: DebianPackageSet | undefined;
  const use = once(() =>
    runStep(
      toolsStep({
        store: host.store,
        maker,
        containerfiles,
        architecture,
        note: run.events,
        ...(pinned === undefined ? {} : { locked: pinned }),
      }),
      run,
    ),
  );
  const sandboxes = await hostSandboxes(environment, host, async () => (await use()).tree);
  const maker = toolsFromPackages({
    directories: host.directories,
    ledger: host.ledger,
    store: host.store,
    sandboxes,
    downloads,
    architecture,
    ...(mirrors === undefined ? {} : { mirrors }),
    online: () => {
      if (settings.offline)
        throw new KvciError('hostNotReady', 'offline', 'the tools image cannot be made with --offline', {
          hint: 'Run the command once without --offline.',
        });
    },
  });
  return {
    sandboxes,
    wanted: packagesOf(toolsContainerfile(containerfiles, architecture)),
    architecture,
    pin: (set) => {
      pinned = set;
    },
    use,
  };
}

async function openEngine(
  choice: EngineChoice,
  environment: Environment,
  host: HostParts,
  sandboxes: Sandboxes,
  run: RunContext,
): Promise<ContainerEngine> {
  const { connectEngine } = await import('./host/adapters/dockerode-engine.ts');
  const { findEngine } = await import('./host/engine/find-engine.ts');
  const { hostCredentials } = await import('./host/engine/registry-credentials.ts');
  const { startPodman } = await import('./sandbox/podman.ts');
  const { readTemplates } = await import('./image/sources.ts');

  const connect = (endpoint: EngineEndpoint): Promise<ContainerEngine> =>
    connectEngine(endpoint, hostCredentials(environment, host.home, host.commands));
  const found = await findEngine(choice, engineSurroundings(environment, host), connect);
  if (found !== undefined) return found;
  const templates = await readTemplates(join(ownFolder, 'templates'));
  return startPodman({ ...host, sandboxes, clock: run.clock, connect, templates, signal: run.signal });
}

async function payloadSource(
  name: PayloadSourceName,
  path: string | undefined,
  settings: ServiceSettings,
  host: HostParts,
  parts: { readonly sandboxes: Sandboxes; readonly downloads: Downloads; readonly mirrors: readonly string[] | undefined },
): Promise<PayloadSource> {
  const { tarStreamTar } = await import('./host/adapters/tar-stream-tar.ts');
  if (name !== 'modules')
    throw new KvciError('usage', 'bad-payload', `payload ${name}${path === undefined ? '' : `:${path}`} is not connected yet`);
  const { modulesSource } = await import('./payload/modules-source.ts');
  const { GoClient } = await import('./payload/go-client.ts');
  const { readProgramSources } = await import('./payload/go-module-folder.ts');
  const { debianUserland } = await import('./payload/userland.ts');
  const { mirrors, ...rest } = parts;
  return modulesSource({
    go: new GoClient(host.commands, settings.offline),
    commands: host.commands,
    store: host.store,
    sources: await readProgramSources(join(ownFolder, 'templates')),
    layoutTools: { tar: tarStreamTar, locks: host.locks },
    userland: debianUserland({
      ...host,
      ...rest,
      tar: tarStreamTar,
      offline: settings.offline,
      ...(mirrors === undefined ? {} : { mirrors }),
    }),
    hostArchitecture: hostArchitecture(),
  });
}

/** A service is made once, however often it is asked for. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
