import { buildImage, lockInputs, planBuild, renderBuild } from '../image/build.ts';
import { checkTree } from '../image/check/check.ts';
import { type ReadImage, readImage } from '../image/check/read-image.ts';
import { CONTAINERFILE } from '../image/context.ts';
import { diffImages } from '../image/diff.ts';
import { findImage, listImages, loadImages, removeImage, saveImage } from '../image/images.ts';
import { inspectImage } from '../image/inspect.ts';
import { locateImage } from '../image/locate.ts';
import type { ImagePorts } from '../image/ports.ts';
import type { ImageService } from './services.ts';

/** The image commands over the rooms that do the work. */
export function createImageService(ports: ImagePorts): ImageService {
  return {
    plan: (options, settings, run) => planBuild(options, settings, ports, run),
    build: async (options, settings, run) => {
      const built = await buildImage(options, settings, ports, run);
      const { payload, distribution, architecture } = built.inputs;
      return {
        digest: built.digest,
        tags: built.tags,
        kubernetes: payload.versions.kubernetes,
        base: distribution.id,
        payload: payload.source,
        architecture,
        lockFile: settings.lockFile,
        reused: built.reused,
        size: built.size,
        preloaded: built.preloaded,
      };
    },
    render: async (options, settings, run) => {
      const context = await renderBuild(options, settings, ports, run);
      const containerfile = context.find(({ path }) => path === CONTAINERFILE);
      return {
        containerfile: containerfile?.content.kind === 'text' ? containerfile.content.text : '',
        context: context.map(({ path, mode, size, digest }) => ({ path, mode, size, digest })),
      };
    },
    lock: async (options, settings, run) => {
      const { inputs, changed } = await lockInputs(options, { ...settings, locked: false }, ports, run);
      return { lockFile: settings.lockFile, changed, kubernetes: inputs.payload.versions.kubernetes, payload: inputs.source.name };
    },
    check: async (word, groups) => checkTree(await readAny(ports, word), groups),
    inspect: async (word) => {
      const layout = await ports.layout();
      const { descriptor } = await findImage(layout, word);
      return inspectImage(layout, descriptor, ports.hostArchitecture);
    },
    list: async () => listImages(await ports.layout()),
    remove: async (words, run) => {
      const layout = await ports.layout();
      const removed = [];
      for (const word of words) removed.push(await removeImage(layout, word, new Date(run.clock.now())));
      return removed;
    },
    diff: async (a, b) => diffImages(await readAny(ports, a), await readAny(ports, b)),
    save: async (word, file, run) => saveImage(await ports.layout(), word, file, run.signal),
    load: async (file) => loadImages(await ports.layout(), file),
  };
}

async function readAny(ports: ImagePorts, word: string): Promise<ReadImage> {
  const { layout, descriptor } = await locateImage(await ports.layout(), word);
  return readImage(layout, descriptor, ports.hostArchitecture);
}
