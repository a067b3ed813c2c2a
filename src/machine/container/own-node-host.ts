import { hexOf } from '../../core/digest.ts';
import { diskFullOr } from '../../host/engine/errors.ts';
import type { ImageLayout } from '../../oci/layout.ts';
import { REF_NAME, requireManifest } from '../../oci/manifests.ts';
import { MEDIA_TYPES } from '../../oci/types.ts';
import type { NodeEngine } from '../../sandbox/node-engine.ts';
import { IMAGES_INSIDE } from '../../sandbox/node-sandbox.ts';
import { RUN_LABEL } from './labels.ts';
import type { LostPlace } from './lost-clusters.ts';
import type { NodeHost } from './node-host.ts';
import { ownForwards } from './own-forwards.ts';

export interface OwnNodeHostParts {
  readonly engine: NodeEngine;
  readonly layout: () => Promise<ImageLayout>;
}

/** Makes a layout that holds one image of another layout, without a copy of its blobs. */
const MAKE_LAYOUT = `mkdir -p "$1" && ln -sfn ${IMAGES_INSIDE}/blobs "$1/blobs" && cp ${IMAGES_INSIDE}/oci-layout "$1/" && cat >"$1/index.json"`;

/** kvci's own engine: it sees the image store, so that an image gets into it by one copy, layers that it has already by none. */
export async function ownNodeHost({ engine, layout }: OwnNodeHostParts): Promise<NodeHost> {
  const { containers, network, sandbox } = engine;
  const imageName: NodeHost['imageName'] = (image) => `localhost/kvci/node:${hexOf(image)}`;
  const { stdout: controllers } = await sandbox.run(['cat', '/sys/fs/cgroup/cgroup.controllers']);
  const { stdout: modules } = await sandbox.run(['ls', '/lib/modules'], { accept: [2] });
  return {
    containers,
    own: true,
    labels: () => Promise.resolve({}),
    imageName,
    hasImage: async (image) => (await network.run(['podman', 'image', 'exists', imageName(image)], { accept: [1] })).exitCode === 0,
    bringImage: async (image, onLine, signal) => {
      const { mediaType, digest, size } = await requireManifest(await layout(), image);
      const manifest = { mediaType, digest, size, annotations: { [REF_NAME]: imageName(image) } };
      const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [manifest] };
      const folder = `/run/layouts/${hexOf(image)}`;
      await sandbox.run(['sh', '-c', MAKE_LAYOUT, 'sh', folder], { stdin: JSON.stringify(index), signal });
      try {
        await network.run(['podman', 'pull', `oci:${folder}:${imageName(image)}`], { onLine, signal });
      } catch (error) {
        throw diskFullOr(`copy the node image`, error);
      }
    },
    takenRanges: async () => {
      // Also those of the host, which nodes are to reach.
      const lists = await Promise.all(
        [network, sandbox].flatMap((place) =>
          ['-4', '-6'].map(async (family) => (await place.run(['ip', '-json', family, 'route', 'show'])).stdout),
        ),
      );
      return lists.flatMap((text) =>
        (JSON.parse(text === '' ? '[]' : text) as { readonly dst: string }[]).flatMap(({ dst }) => (dst.includes('/') ? [dst] : [])),
      );
    },
    publishAt: undefined,
    binds: modules.trim() === '' ? [] : [{ host: '/lib/modules', inside: '/lib/modules' }],
    limits: ['cpu', 'memory'].every((name) => controllers.trim().split(' ').includes(name)),
    sweep: (ids) => sweepMonitors(engine, ids),
    forwards: ({ cluster }) => ownForwards(engine, cluster),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/** Where clusters may be that are lost: everything of kvci in its own engine is this user's. */
export function ownPlace(engine: NodeEngine): LostPlace {
  return {
    containers: engine.containers,
    labels: { [RUN_LABEL]: '' },
    endForwards: (cluster) => ownForwards(engine, cluster).remove(),
    sweep: (ids) => sweepMonitors(engine, ids),
  };
}

/** Podman's monitors of commands stay for a while after the commands, to tell how they ended: those of containers that are gone. */
async function sweepMonitors({ sandbox }: Pick<NodeEngine, 'sandbox'>, ids: readonly string[]): Promise<void> {
  await sandbox.run(['pkill', '-KILL', '--full', `^[^ ]*conmon .* -c (${ids.join('|')}) `], { accept: [1] });
}
