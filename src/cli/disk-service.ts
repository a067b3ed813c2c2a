import { readFile } from 'node:fs/promises';

import { hasErrno, KvciError } from '../core/errors.ts';
import { planStep, type RunContext } from '../core/plan.ts';
import { buildDisk, type DiskPorts, diskStep } from '../disk/build-disk.ts';
import { diskOptions, parsePublicKeys } from '../disk/options.ts';
import { checkOutput, copyDisk } from '../disk/output.ts';
import { sourceImage } from '../disk/source.ts';
import type { DiskOptions, DiskRequest } from '../disk/types.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { CommandRunner, Ledger } from '../host/types.ts';
import { locateImage } from '../image/locate.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Architecture } from '../payload/types.ts';
import type { BuildSettings } from '../image/build.ts';
import type { DiskService, ImageService, WantedDisk } from './services.ts';

export interface DiskServiceParts {
  readonly store: DiskPorts['store'];
  /** In the order in which `auto` prefers them. @param engine where those that are containers run */
  readonly converters: (engine: EngineChoice) => DiskPorts['converters'];
  readonly image: () => Promise<ImageService>;
  /** kvci's image store. */
  readonly layout: () => Promise<ImageLayout>;
  readonly hostArchitecture: Architecture;
  /** The host's. */
  readonly commands: CommandRunner;
  readonly ledger: Ledger;
}

/** The disk commands over the room that does the work. */
export function createDiskService(parts: DiskServiceParts): DiskService {
  const portsFor = ({ engine }: BuildSettings): DiskPorts => ({ store: parts.store, converters: parts.converters(engine) });
  return {
    plan: async (wanted, settings, run) => {
      const options = await optionsOf(wanted);
      if (wanted.image.kind === 'built') {
        const steps = await (await parts.image()).plan(wanted.image.options, settings, run);
        return [...steps, { id: 'disk', title: 'disk', action: 'run', reason: 'known when the image is there' }];
      }
      const request = await requestOf(wanted.image.ref, options, parts);
      return [await planStep(await diskStep(wanted.options.converter, request, portsFor(settings), run))];
    },
    build: async (wanted, settings, output, run) => {
      const options = await optionsOf(wanted);
      if (output !== undefined) await checkOutput(output);
      const request = await requestOf(await imageOf(wanted, settings, parts, run), options, parts);
      const { disk, reused } = await buildDisk(wanted.options.converter, request, portsFor(settings), run);
      if (output !== undefined) await copyDisk(disk.path, output, parts, run.signal);
      return { ...disk, ...(output === undefined ? {} : { path: output }), reused };
    },
  };
}

async function optionsOf({ options, sshKeys }: WantedDisk): Promise<DiskOptions> {
  const keys = await Promise.all(sshKeys.map(async (file) => parsePublicKeys(await readKey(file), file)));
  return diskOptions(options, keys.flat());
}

async function readKey(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (!hasErrno(cause, 'ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES')) throw cause;
    throw new KvciError('notFoundOrExists', 'ssh-key-missing', `--ssh-key: ${file} cannot be read`, {
      facts: { flag: '--ssh-key' },
      cause,
    });
  }
}

/** The image in the store that the disk is made of, built first where that is asked. */
async function imageOf({ image }: WantedDisk, settings: BuildSettings, parts: DiskServiceParts, run: RunContext): Promise<string> {
  return image.kind === 'stored' ? image.ref : (await (await parts.image()).build(image.options, settings, run)).digest;
}

async function requestOf(word: string, options: DiskOptions, parts: DiskServiceParts): Promise<DiskRequest> {
  const located = await locateImage(await parts.layout(), word);
  return { ...options, source: await sourceImage(located, word, parts.hostArchitecture) };
}
