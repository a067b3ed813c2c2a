import { join } from 'node:path';

import type { DiskService, ServiceSettings } from '../cli/services.ts';
import type { Digest } from '../core/digest.ts';
import type { EventSink } from '../core/events.ts';
import type { RunContext, Step } from '../core/plan.ts';
import type { Disk } from '../disk/build-disk.ts';
import type { DiskConverter } from '../disk/types.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { DiskSource } from '../machine/qemu/disk-source.ts';
import type { VmDisks } from '../machine/qemu/vm-provider.ts';
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
    ledger: host.ledger,
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

/** The disks of nodes that are virtual machines: as the `disk` section of kvci.yaml has them. */
export async function vmDisks(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  images: ImageParts,
  run: RunContext,
): Promise<VmDisks> {
  const { diskStep } = await import('../disk/build-disk.ts');
  const { diskOptions, diskOptionsSchema } = await import('../disk/options.ts');
  const { sourceImage } = await import('../disk/source.ts');
  const { locateImage } = await import('../image/locate.ts');
  const { parseEngineChoice } = await import('../host/engine/discovery.ts');
  const { config } = await settings.config();
  const options = diskOptionsSchema.parse(config.disk ?? {});
  const converters = once(() => diskConverters(environment, settings, host, images, run));
  const stepOf = async (image: Digest, events: EventSink, signal: AbortSignal): Promise<Step<Disk>> => {
    const source = await sourceImage(await locateImage(await images.layout(), image), image, images.hostArchitecture);
    const request = { ...diskOptions({ ...options, format: 'qcow2' }, []), source };
    const engine = parseEngineChoice(config.engine ?? 'auto');
    return diskStep(options.converter, request, { store: host.store, converters: (await converters())(engine) }, { events, signal });
  };
  return {
    find: async (image, signal) => {
      // What makes the disk is told by who makes it.
      const disk = await (await stepOf(image, () => undefined, signal)).find();
      return disk === undefined ? undefined : sourceOf(disk, images);
    },
    make: async (image, onLine, signal) => {
      const step = await stepOf(image, run.events, signal);
      return sourceOf((await step.find()) ?? (await step.make({ signal, output: onLine, progress: () => undefined })), images);
    },
  };
}

function sourceOf({ path, directBoot }: Disk, { hostArchitecture }: ImageParts): DiskSource {
  return { path, architecture: hostArchitecture, ...(directBoot === undefined ? {} : { directBoot }) };
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
