import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ImageService, ServiceSettings } from '../cli/services.ts';
import type { RunContext } from '../core/plan.ts';
import type { Downloads, HostCheck } from '../host/types.ts';
import type { ImageOptions } from '../image/options.ts';
import type { ImagePorts } from '../image/ports.ts';
import type { DebianHost } from '../sandbox/debian-resolve.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { type Environment, hostArchitecture, type HostParts, hostUser, once, OWN_FOLDER, packageManagerOf } from './host.ts';
import { payloadSource } from './payload.ts';
import { ownRevision } from './revision.ts';
import { openEngine, runningEngine, toolsImage } from './tools.ts';

/** What building images needs, and what others need of the same making. */
export type ImageParts = ImagePorts & { readonly sandboxes: Sandboxes; readonly downloads: Downloads };

export async function imageService(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
  parts?: ImageParts,
): Promise<ImageService> {
  const { createImageService } = await import('../cli/image-service.ts');
  const service = createImageService(parts ?? (await imageParts(environment, settings, host, run)));
  const { RunRecords } = await import('../host/run-records.ts');
  const records = new RunRecords(host.directories, run.clock, settings.sinks);
  const build: ImageService['build'] = (options, flags, context) =>
    records.newRun(
      { command: 'image build', subject: `${options.k8s} ${options.base}` },
      context.signal,
      () => service.build(options, flags, context),
      ({ reused }) => reused,
    );
  if (!settings.setup) return { ...service, build };
  const prepare = (options: ImageOptions): Promise<void> => prepareForImage(options, environment, settings, host, run);
  return {
    ...service,
    build: async (options, flags, context) => prepare(options).then(() => build(options, flags, context)),
    render: async (options, flags, context) => prepare(options).then(() => service.render(options, flags, context)),
    lock: async (options, flags, context) => prepare(options).then(() => service.lock(options, flags, context)),
  };
}

/** `--setup`: installs what making this image needs of the host, and nothing else; without an image, what sandboxes need. */
export async function prepareForImage(
  options: ImageOptions | undefined,
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<void> {
  const { prepareHost } = await import('../cli/host-service.ts');
  const { modulesChecks } = await import('../payload/checks.ts');
  const { sandboxChecks } = await import('../sandbox/checks.ts');
  const { toolsWay } = await import('./tools-choice.ts');
  const compiles = options?.payload === 'auto' || options?.payload === 'modules';
  const checks = (): readonly HostCheck[] => [
    ...sandboxChecks(host.commands, hostUser(host), () => toolsWay(environment, settings, host)),
    ...(compiles ? modulesChecks(host.commands, host.directories.cache) : []),
  ];
  await prepareHost(checks, { ...host, packageManager: await packageManagerOf(host) }, run);
}

export async function imageParts(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<ImageParts> {
  const { createLayout } = await import('../oci/layout.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { proxyBuildArgs } = await import('../host/engine/proxy.ts');
  const { fetchPackages } = await import('../sandbox/debian-repository.ts');
  const { findArchives } = await import('../sandbox/debian-resolve.ts');
  const { openDebianHost } = await import('../sandbox/debian-host.ts');
  const { readNodeSources } = await import('../image/sources.ts');

  const { directories, locks, store, ledger } = host;
  const layoutTools = { tar: tarStreamTar, locks };
  const { config } = await settings.config();
  const mirrors = config.mirrors?.debian === undefined ? undefined : [config.mirrors.debian];
  const network = {
    offline: settings.offline,
    httpProxy: environment['HTTP_PROXY'] ?? environment['http_proxy'],
    httpsProxy: environment['HTTPS_PROXY'] ?? environment['https_proxy'],
    noProxy: environment['NO_PROXY'] ?? environment['no_proxy'],
  };
  const client = once(async () => (await import('../host/adapters/undici-downloads.ts')).undiciDownloads(network));
  // A tenth of what comes before machines of a snapshot go on, which download nothing.
  const downloads: Downloads = {
    text: async (request) => (await client()).text(request),
    file: async (request, path) => (await client()).file(request, path),
    answers: async (url, signal) => (await client()).answers(url, signal),
  };
  const registry = once(async () => {
    const { RegistryClient } = await import('../oci/registry.ts');
    const { undiciHttp } = await import('../host/adapters/undici-http.ts');
    const { hostCredentials } = await import('../host/engine/registry-credentials.ts');
    const credentials = hostCredentials(environment, host.home, host.commands);
    return new RegistryClient({ http: undiciHttp(network), credentials: (repository) => credentials.forImage(repository) });
  });
  const nodeSources = once(() => readNodeSources(OWN_FOLDER));
  const tools = await toolsImage(environment, settings, host, { downloads, mirrors, registry, layoutTools }, run);
  const sandboxes = tools.sandboxes;
  const archives = (set: DebianPackageSet, debian: DebianHost) => () =>
    findArchives({ suite: set.suite, architecture: set.architecture, ...(mirrors === undefined ? {} : { mirrors }) }, debian);
  return {
    sandboxes,
    downloads,
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
    runningEngine: (choice) => runningEngine(choice, environment, host),
    engine: (choice) => openEngine(choice, environment, host, sandboxes, run),
    payloadSource: (name, path, distribution) =>
      payloadSource(name, path, distribution, settings, host, { sandboxes, downloads, mirrors, registry }),
    registry,
    nodeSources,
    proxyBuildArgs: proxyBuildArgs(environment),
    hostArchitecture: hostArchitecture(),
    kvci: { version: readVersion(), revision: once(() => ownRevision(OWN_FOLDER, host.commands)) },
  };
}

function readVersion(): string {
  return (JSON.parse(readFileSync(join(OWN_FOLDER, 'package.json'), 'utf8')) as { version: string }).version;
}
