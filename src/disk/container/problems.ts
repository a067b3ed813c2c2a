import { KvciError } from '../../core/errors.ts';
import { formatSize } from '../../core/sizes.ts';
import type { EngineImage, LayerStorage } from '../../host/engine/jobs.ts';
import type { EngineInfo } from '../../host/types.ts';
import { BOOTC_LABEL } from '../../image/labels.ts';
import type { DiskRequest, SourceImage } from '../types.ts';
import type { NodeImageFacts } from './node-image.ts';
import { smallestDisk, spaceNeeded } from './sizes.ts';
import type { Surroundings } from './surroundings.ts';
import { type ConverterProbe, type Dialect, STORAGE } from './types.ts';

/*
 * What the converters need (contract D2, "Preconditions checked", and what goes wrong later when it is missing), each as an error
 * of its own name: found before a conversion starts, which itself would tell it late and in other words.
 */

const NATIVE = 'Or leave it to kvci: --converter native needs no engine.';

/** How many ids there are where no user namespace is in between: all but the one that means "none" (user_namespaces(7)). */
const ALL_IDS = 4_294_967_295;

export function engineMissing(tried: readonly string[]): KvciError {
  return new KvciError(
    'hostNotReady',
    'converter-engine-missing',
    ['no rootful Podman answers', ...tried.map((line) => `  ${line}`)].join('\n'),
    {
      hint: `Start it with "systemctl start podman.socket", or name its socket with --engine. ${NATIVE}`,
      facts: { tried },
    },
  );
}

/** Of the Podman that kvci starts, which is known before it is started. */
export function ownEngine(): KvciError {
  return unready('converter-user-namespace', "kvci's own Podman runs in a user namespace, where no file system of a disk can be mounted", {
    hint: `Name a rootful Podman of this host with --engine. ${NATIVE}`,
  });
}

export function engineProblem({ name, rootless, origin }: EngineInfo, storage: LayerStorage): KvciError | undefined {
  if (name !== 'podman') {
    return unready(
      'converter-needs-podman',
      `the container engine (${origin}) is ${name}: converters look for images where Podman keeps them`,
      {
        hint: `Name a rootful Podman with --engine. ${NATIVE}`,
      },
    );
  }
  if (rootless) return rootlessEngine(`Podman (${origin}) is rootless`);
  if (storage.driver !== 'overlay') {
    return unready('converter-storage-driver', `Podman (${origin}) keeps images by "${storage.driver}", of which converters know nothing`, {
      hint: `They need "overlay": the setting "driver" in containers-storage.conf(5), after which images have to be pulled anew. ${NATIVE}`,
      facts: { driver: storage.driver },
    });
  }
  if (storage.root !== STORAGE) {
    return unready(
      'converter-storage-elsewhere',
      `Podman (${origin}) keeps images in ${storage.root}: the converters' own Podman takes only ${STORAGE}`,
      {
        hint: `It refuses a storage that was made under another path: the setting "graphroot" in containers-storage.conf(5). ${NATIVE}`,
        facts: { root: storage.root },
      },
    );
  }
  return undefined;
}

/** What the configuration of a node image tells at once. */
export function imageProblem({ image, architecture }: SourceImage): KvciError | undefined {
  const { config } = image;
  if (config.config?.Labels?.[BOOTC_LABEL] !== '1') {
    return new KvciError('failed', 'not-a-bootc-image', `the image is not a bootc image: it has no label ${BOOTC_LABEL}=1`, {
      hint: `Build one with "kvci image build", or add LABEL ${BOOTC_LABEL}=1 to an image that boots.`,
    });
  }
  return config.architecture === architecture ? undefined : wrongArchitecture('the node image', config.architecture, architecture);
}

/** What the files of a node image tell. */
export function imageFilesProblem(request: DiskRequest, image: NodeImageFacts): KvciError | undefined {
  const { architecture } = request.source;
  for (const program of ['bootc', 'lsinitrd'] as const) {
    if (image[program]) continue;
    const from = program === 'bootc' ? 'no package of Debian has it' : 'it comes with dracut';
    return new KvciError('failed', `image-lacks-${program}`, `the image has no ${program}, which converters run in a container of it`, {
      hint: `Use --converter native, which needs it not, or a base that has it (${from}): --base centos-stream-10`,
      facts: { program },
    });
  }
  if (image.rootFilesystem !== undefined && image.rootFilesystem !== request.filesystem) {
    const { rootFilesystem } = image;
    return new KvciError(
      'usage',
      'image-sets-filesystem',
      `the image's own disk.yaml asks for ${rootFilesystem}: converters would make that, whatever --filesystem ${request.filesystem} says`,
      { hint: `Use --filesystem ${rootFilesystem}, or --converter native.`, facts: { filesystem: rootFilesystem } },
    );
  }
  const least = smallestDisk(image.unpacked, architecture);
  if (request.size < least) {
    return new KvciError(
      'usage',
      'disk-too-small',
      `the image does not fit on a disk of ${formatSize(request.size)}: that takes ${formatSize(least)}`,
      {
        hint: `Use --size ${Math.ceil(least / 2 ** 30)}Gi or more.`,
        facts: { size: request.size, least },
      },
    );
  }
  return undefined;
}

/** @param ref what was asked for as converter */
export function converterProblem(
  dialect: Dialect,
  ref: string,
  request: DiskRequest,
  image: Pick<EngineImage, 'architecture'>,
  { version, flags }: ConverterProbe,
): KvciError | undefined {
  const { architecture } = request.source;
  if (image.architecture !== architecture) return wrongArchitecture(`the converter ${ref}`, image.architecture, architecture);
  if (!flags.has(dialect.mark)) {
    return unready('not-this-converter', `${ref} is not ${dialect.name}: its help does not tell of ${dialect.mark}`, {
      hint: `${dialect.name} is published as ${dialect.images.join(' and ')}.`,
      facts: { ref, version },
    });
  }
  const missing = dialect.needs.filter((flag) => !flags.has(flag));
  if (missing.length > 0) {
    return unready('converter-flag-missing', `${ref} does not know ${missing.join(', ')} (${version[0] ?? 'of no version'})`, {
      hint: 'Use a newer one.',
      facts: { ref, version, missing },
    });
  }
  return undefined;
}

/** @param unpacked bytes of the node image's files */
export function surroundingsProblem(around: Surroundings, unpacked: number): KvciError | undefined {
  if (around.rootId !== 0) return rootlessEngine(`root in the engine's containers is user ${around.rootId} of the host`);
  if (around.ids !== ALL_IDS) {
    return unready(
      'converter-user-namespace',
      "the engine's containers are in a user namespace, where no file system of a disk can be mounted",
      {
        hint: `Use a Podman that runs as root of the host; the one that kvci starts itself does not. ${NATIVE}`,
      },
    );
  }
  if (!around.sysWritable) {
    return unready('converter-not-privileged', 'the engine runs containers without the privileges that were asked for: /sys is read-only', {
      hint: `Something between kvci and the engine, or a setting of it, takes --privileged away. ${NATIVE}`,
    });
  }
  if (!around.overlayStorage) {
    return unready('converter-storage-missing', "the engine's storage of images is not seen in its containers", {
      hint: `kvci and the engine must be on one host. ${NATIVE}`,
    });
  }
  if (!around.loopDevices) {
    return unready('converter-no-loop-devices', 'there is no /dev/loop-control for the converter, which makes disks on loop devices', {
      hint: `On the host: modprobe loop. ${NATIVE}`,
    });
  }
  if (around.selinux === 'no-policy') {
    return unready('converter-selinux-policy', "SELinux is enforcing here, and osbuild's policy is missing", {
      hint: 'Install the package osbuild-selinux.',
    });
  }
  for (const [what, place] of [
    ['images', around.storage],
    ['disks', around.output],
  ] as const) {
    if (place.type === 'zfs') {
      return unready('converter-on-zfs', `${what} lie on ZFS here, where the converter's loop devices write without end`, {
        hint: `Put Podman's storage and KVCI_CACHE_DIR on another file system. ${NATIVE}`,
      });
    }
  }
  return spaceProblem(around, unpacked);
}

function spaceProblem({ storage, output }: Surroundings, unpacked: number): KvciError | undefined {
  const needed = spaceNeeded(unpacked);
  const places =
    storage.id === output.id
      ? [['for images and disks', storage.free, needed.storage + needed.output] as const]
      : [["in the engine's storage", storage.free, needed.storage] as const, ['for the disk', output.free, needed.output] as const];
  for (const [where, free, need] of places) {
    if (free >= need) continue;
    return unready('disk-full', `not enough space ${where}: ${formatSize(free)} are free, the conversion takes ${formatSize(need)}`, {
      hint: 'Make room, for example with "kvci cache prune --keep 5G" and "podman image prune".',
      facts: { free, need },
    });
  }
  return undefined;
}

function rootlessEngine(what: string): KvciError {
  return unready('converter-engine-rootless', `${what}: converters need a rootful one`, {
    hint: `Start it with "systemctl start podman.socket" and run kvci as root, or name its socket with --engine. ${NATIVE}`,
  });
}

function wrongArchitecture(what: string, is: string, wanted: string): KvciError {
  return new KvciError('failed', 'wrong-architecture', `${what} is for ${is}, not for ${wanted}`, {
    hint: 'Converters in containers make disks for the architecture that they run on.',
    facts: { is, wanted },
  });
}

function unready(
  code: string,
  message: string,
  details: { readonly hint: string; readonly facts?: Readonly<Record<string, unknown>> },
): KvciError {
  return new KvciError('hostNotReady', code, message, details);
}
