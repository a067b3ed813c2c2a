import { z } from 'zod';

import { type Digest, hexOf } from '../../../core/digest.ts';
import { digestSchema } from '../../../core/digest-schema.ts';
import { messageOf } from '../../../core/errors.ts';
import type { Descriptor } from '../../../oci/types.ts';
import { KVCI_LABELS } from '../../labels.ts';
import type { Fact, Finding } from '../types.ts';
import { configLines, parentOf, type ImageView } from '../view.ts';

/** Manifests and configurations are small; larger blobs are layers, of which only the digest is needed. */
const LAYOUT_FILES = /(^|\/)(oci-layout|index\.json|blobs\/sha256\/[0-9a-f]{64})$/;

const descriptor = z.object({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).optional(),
});
const index = z.object({ manifests: z.array(descriptor) });
const manifest = z.object({ config: descriptor, layers: z.array(descriptor) });
const config = z.object({ architecture: z.string(), rootfs: z.object({ diff_ids: z.array(z.string()) }) });

/** Folders under /usr that are OCI layouts: the control-plane images, once. */
function layouts(image: ImageView): readonly string[] {
  return [...image.all()]
    .filter(({ path, type }) => type === 'file' && path.startsWith('usr/') && path.endsWith('/oci-layout'))
    .map(({ path }) => parentOf(path));
}

interface PreloadedImage {
  readonly layout: string;
  readonly ref: string;
  readonly manifest: Descriptor;
}

function preloaded(image: ImageView): readonly PreloadedImage[] {
  return layouts(image).flatMap((layout) =>
    index.parse(JSON.parse(image.text(`${layout}/index.json`) ?? '{}')).manifests.map(({ annotations, ...rest }) => ({
      layout,
      ref: annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'] ?? '',
      manifest: rest,
    })),
  );
}

/** The preloaded images' manifests by reference; empty where the layout is broken, which a fact of its own says. */
export function preloadedRefs(image: ImageView): ReadonlyMap<string, Digest> {
  try {
    return new Map(preloaded(image).map(({ ref, manifest: { digest } }) => [ref, digest]));
  } catch {
    return new Map();
  }
}

/** What the preloaded images cost: bytes of the layers of each, as stored. Empty as {@link preloadedRefs}. */
export function preloadedSizes(image: ImageView): readonly { readonly name: string; readonly digest: Digest; readonly size: number }[] {
  try {
    return preloaded(image).map(({ layout, ref, manifest: { digest } }) => {
      const { layers } = manifest.parse(JSON.parse(image.text(`${layout}/blobs/sha256/${hexOf(digest)}`) ?? ''));
      return { name: ref, digest, size: layers.reduce((sum, { size }) => sum + size, 0) };
    });
  } catch {
    return [];
  }
}

const complete: Fact = {
  id: 'preloaded-images',
  title: 'the control-plane images are in the image, complete, for its architecture, every blob with its digest',
  reads: [LAYOUT_FILES],
  check(image) {
    if (layouts(image).length === 0) return [{ message: 'there is no OCI layout under /usr' }];
    try {
      return [...strayBlobs(image), ...preloaded(image).flatMap((one) => imageFindings(image, one))];
    } catch (error) {
      return [{ message: `the OCI layout cannot be read: ${messageOf(error).split('\n')[0] ?? ''}`, path: `/${layouts(image)[0] ?? ''}` }];
    }
  },
};

/** Files among the blobs whose content is not what their name says. */
function strayBlobs(image: ImageView): Finding[] {
  return layouts(image).flatMap((layout) =>
    image
      .children(`${layout}/blobs/sha256`)
      .filter((path) => image.target(path)?.digest !== `sha256:${path.slice(path.lastIndexOf('/') + 1)}`)
      .map((path) => ({ message: 'its content has another digest', path: `/${path}` })),
  );
}

function imageFindings(image: ImageView, { layout, ref, manifest: top }: PreloadedImage): Finding[] {
  const blob = (digest: Digest): string => `${layout}/blobs/sha256/${hexOf(digest)}`;
  const missing = (of: Pick<Descriptor, 'digest' | 'size'>): Finding[] => {
    const target = image.target(blob(of.digest));
    if (target === undefined) return [{ message: `${ref}: the blob is missing`, path: `/${blob(of.digest)}` }];
    return target.size === of.size
      ? []
      : [{ message: `${ref}: the blob has ${target.size} bytes, not ${of.size}`, path: `/${blob(of.digest)}` }];
  };
  const text = image.text(blob(top.digest));
  if (text === undefined) return missing(top);
  const read = manifest.parse(JSON.parse(text));
  const found = [top, read.config, ...read.layers].flatMap(missing);
  const configText = image.text(blob(read.config.digest));
  if (configText === undefined) return found;
  const { architecture, rootfs } = config.parse(JSON.parse(configText));
  if (architecture !== image.tree.config.architecture)
    found.push({ message: `${ref} is for ${architecture}`, path: `/${blob(read.config.digest)}` });
  if (rootfs.diff_ids.length !== read.layers.length)
    found.push({
      message: `${ref} has ${read.layers.length} layers and ${rootfs.diff_ids.length} of them in its config`,
      path: `/${blob(top.digest)}`,
    });
  return found;
}

/** Parts of a control plane that kubeadm starts from images, by the last part of their names; those of Kubernetes carry its version. */
const OF_KUBERNETES = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy'] as const;
const OTHERS = ['etcd', 'coredns', 'pause'] as const;

/** What the import unit goes by: a reference and a digest a line. */
const LIST = 'usr/lib/kvci/images.list';

const references: Fact = {
  id: 'preloaded-references',
  title: 'all images that kubeadm asks for are preloaded',
  reads: [LAYOUT_FILES, /^usr\/lib\/kvci\/images\.list$/],
  *check(image) {
    const refs = preloadedRefs(image);
    const wanted = configLines(image.text(LIST)).map((line) => line.split(' '));
    for (const [ref = '', digest] of wanted)
      if (refs.get(ref) !== digest) yield { message: `${ref} is not preloaded with this digest`, path: `/${LIST}` };
    const version = image.labels[KVCI_LABELS.kubernetes] ?? '';
    for (const name of [...OF_KUBERNETES.map((part) => `${part}:v${version}`), ...OTHERS.map((part) => `${part}:`)]) {
      if (!wanted.some(([ref]) => ref?.includes(`/${name}`) === true)) yield { message: `names no ${name}`, path: `/${LIST}` };
    }
  },
};

export const IMAGE_FACTS: readonly Fact[] = [complete, references];
