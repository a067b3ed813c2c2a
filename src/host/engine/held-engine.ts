import type { ContainerEngine } from '../types.ts';

/** An engine together with what it takes to reach it or to keep it alive, which goes when the engine is let go. */
export function heldEngine(
  engine: ContainerEngine,
  held: AsyncDisposable,
  build: ContainerEngine['build'] = (request) => engine.build(request),
): ContainerEngine {
  return {
    info: () => engine.info(),
    build,
    importRoot: (tar, tag, signal) => engine.importRoot(tar, tag, signal),
    save: (tag, signal) => engine.save(tag, signal),
    load: (archive, signal) => engine.load(archive, signal),
    hasImage: (tag) => engine.hasImage(tag),
    imageId: (tag) => engine.imageId(tag),
    images: () => engine.images(),
    pull: (ref, signal, onLine) => engine.pull(ref, signal, onLine),
    remove: (tag) => engine.remove(tag),
    [Symbol.asyncDispose]: async () => {
      await engine[Symbol.asyncDispose]();
      await held[Symbol.asyncDispose]();
    },
  };
}
