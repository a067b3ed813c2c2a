import { renderTemplate, type TemplateSources } from '../core/template.ts';

/** How layers are put together; `fuse` and `copy` where the cache lies on a file system that carries no overlay. */
export type LayerMode = 'overlay' | 'fuse' | 'copy';

/** Where the engine's own cache folder is seen inside its sandbox. */
export const ENGINE_FOLDER = '/var/lib/containers';

/**
 * Podman's configuration files by path inside the sandbox. Each way of laying out layers has a storage of its own: what one
 * wrote another would read wrongly.
 */
export function podmanConfig(templates: TemplateSources, layers: LayerMode): ReadonlyMap<string, string> {
  const view = {
    driver: layers === 'copy' ? 'vfs' : 'overlay',
    graphroot: `${ENGINE_FOLDER}/${layers}`,
    networks: `${ENGINE_FOLDER}/networks`,
    mountProgram: layers === 'fuse' ? '/usr/bin/fuse-overlayfs' : '',
  };
  const file = (name: string): readonly [string, string] => [`/etc/containers/${name}`, renderTemplate(templates, `engine/${name}`, view)];
  return new Map([file('containers.conf'), file('storage.conf'), file('registries.conf')]);
}
