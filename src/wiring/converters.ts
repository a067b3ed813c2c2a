import { join } from 'node:path';

import type { ServiceSettings } from '../cli/services.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { hostConverterEngine } from '../disk/container/engines.ts';
import type { ConverterEngine } from '../disk/container/types.ts';
import type { DiskConverter } from '../disk/types.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { ContainerEngine } from '../host/types.ts';
import { engineSurroundings, type Environment, type HostParts, hostUser, OWN_FOLDER } from './host.ts';
import type { ImageParts } from './images.ts';

/** The converters that are containers of an engine, in the order in which `auto` prefers them. */
export async function containerConverters(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  images: ImageParts,
  run: RunContext,
): Promise<(engine: EngineChoice) => readonly DiskConverter[]> {
  const { BOOTC_IMAGE_BUILDER } = await import('../disk/bootc-image-builder.ts');
  const { IMAGE_BUILDER } = await import('../disk/image-builder.ts');
  const { containerConverter } = await import('../disk/container/converter.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const { parseReference } = await import('../oci/reference.ts');
  const { uid, gid } = hostUser(host);
  const parts = {
    ...host,
    clock: run.clock,
    user: { uid, gid },
    offline: settings.offline,
    resolve: async (ref: string, signal: AbortSignal) => (await (await images.registry()).resolve(parseReference(ref), signal)).digest,
    templates: () => readTemplates(join(OWN_FOLDER, 'templates')),
  };
  return (engine) => {
    const over = { ...parts, openEngine: () => openConverterEngine(engine, environment, host) };
    return [containerConverter(BOOTC_IMAGE_BUILDER, over), containerConverter(IMAGE_BUILDER, over)];
  };
}

/**
 * The first rootful Podman of this host, else whatever engine answers, about which the converter then says what is wrong.
 *
 * @throws KvciError `converter-engine-missing`, `converter-user-namespace` for kvci's own, `engine-elsewhere`, and as an engine that was
 *   named and does not answer
 */
async function openConverterEngine(choice: EngineChoice, environment: Environment, host: HostParts): Promise<ConverterEngine> {
  const { engineCandidates } = await import('../host/engine/discovery.ts');
  const { engineMissing, ownEngine } = await import('../disk/container/problems.ts');
  const engines = await import('../disk/container/engines.ts');
  if (choice.kind === 'embedded') throw ownEngine();
  const tried: string[] = [];
  let other: Opened | undefined;
  for (const { address, origin, named } of engineCandidates(choice, engineSurroundings(environment, host))) {
    try {
      const opened = await open({ address, origin }, environment, host);
      if (fits(opened, choice)) return engines.hostConverterEngine({ ...opened, ledger: host.ledger });
      other ??= opened;
    } catch (error) {
      if (named || !(error instanceof KvciError)) throw error;
      tried.push(error.message);
    }
  }
  if (other === undefined) throw engineMissing(tried);
  return engines.hostConverterEngine({ ...other, ledger: host.ledger });
}

type Opened = Omit<Parameters<typeof hostConverterEngine>[0], 'ledger'>;

function fits({ jobs: { info } }: Opened, choice: EngineChoice): boolean {
  return choice.kind === 'address' || (info.name === 'podman' && !info.rootless);
}

async function open(endpoint: EngineEndpoint, environment: Environment, host: HostParts): Promise<Opened> {
  if (endpoint.address.transport !== 'unix') {
    throw new KvciError(
      'usage',
      'engine-elsewhere',
      `converters cannot be in an engine that is reached over a network (${endpoint.origin})`,
      {
        hint: 'Name a rootful Podman of this host by its socket.',
      },
    );
  }
  const { connectJobs } = await import('../host/adapters/dockerode-jobs.ts');
  const jobs = await connectJobs(endpoint);
  return { engine: await connectImages(endpoint, environment, host), jobs, socket: endpoint.address.path };
}

async function connectImages(endpoint: EngineEndpoint, environment: Environment, host: HostParts): Promise<ContainerEngine> {
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { hostCredentials } = await import('../host/engine/registry-credentials.ts');
  return connectEngine(endpoint, hostCredentials(environment, host.home, host.commands));
}

/** What removes what a killed conversion left in an engine. */
export async function converterReapers() {
  const { converterReaper } = await import('../disk/container/reaper.ts');
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { connectJobs } = await import('../host/adapters/dockerode-jobs.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  const endpoint = (path: string): EngineEndpoint => ({ address: { transport: 'unix', path }, origin: 'where a conversion ran' });
  return [
    converterReaper({
      connectJobs: (socket) => connectJobs(endpoint(socket)),
      connectImages: (socket) => connectEngine(endpoint(socket), NO_CREDENTIALS),
    }),
  ];
}
