import { join } from 'node:path';

import type { DiskService, ServiceSettings } from '../cli/services.ts';
import type { RunContext } from '../core/plan.ts';
import type { DiskConverter } from '../disk/types.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import { type Environment, type HostParts, once, OWN_FOLDER } from './host.ts';
import { type ImageParts, imageParts, imageService, prepareForImage } from './images.ts';

export async function diskService(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<DiskService> {
  const { createDiskService } = await import('../cli/disk-service.ts');
  const { RunRecords } = await import('../host/run-records.ts');
  const images = await imageParts(environment, settings, host, run);
  const service = createDiskService({
    store: host.store,
    converters: await diskConverters(environment, settings, host, images, run),
    image: once(() => imageService(environment, settings, host, run, images)),
    layout: () => images.layout(),
    hostArchitecture: images.hostArchitecture,
    commands: host.commands,
  });
  const records = new RunRecords(host.directories, run.clock, settings.sinks);
  return {
    ...service,
    build: async (wanted, flags, output, context) => {
      // What an image takes of the host, making it prepares by itself.
      if (settings.setup && wanted.image.kind === 'stored') await prepareForImage(undefined, environment, settings, host, run);
      const subject = wanted.image.kind === 'stored' ? wanted.image.ref : wanted.image.options.k8s;
      return records.newRun(
        { command: 'disk build', subject },
        context.signal,
        () => service.build(wanted, flags, output, context),
        ({ reused }) => reused,
      );
    },
  };
}

/** Those over an engine, in the order in which `auto` prefers them. */
async function diskConverters(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  images: ImageParts,
  run: RunContext,
): Promise<(engine: EngineChoice) => readonly DiskConverter[]> {
  const { nativeConverter } = await import('../disk/native/native-converter.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const { containerConverters } = await import('./converters.ts');
  const templates = await readTemplates(join(OWN_FOLDER, 'templates'));
  const native = nativeConverter({ sandboxes: images.sandboxes, tools: () => images.tools.use(), templates });
  const inContainers = await containerConverters(environment, settings, host, images, run);
  return (engine) => [native, ...inContainers(engine)];
}
