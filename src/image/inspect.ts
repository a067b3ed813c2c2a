import type { Digest } from '../core/digest.ts';
import type { Distribution } from '../distro/types.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Descriptor } from '../oci/types.ts';
import { preloadedSizes } from './check/facts/images.ts';
import { PROVENANCE_PATH, SBOM_PATH } from './check/facts/metadata.ts';
import { usesCrio } from './check/facts/services.ts';
import { readImage } from './check/read-image.ts';
import { imageSizes } from './check/sizes.ts';
import type { ImageSizes } from './check/types.ts';
import { ImageView } from './check/view.ts';

/** What `kvci image inspect` shows; JSON-able. */
export interface ImageInspection {
  readonly digest: Digest;
  readonly config: Digest;
  readonly platform: string;
  readonly created: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Undefined for what is no node image. */
  readonly runtime: Distribution['cri'] | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly sizes: ImageSizes;
  /** Those that are preloaded in it, with the bytes of their layers. */
  readonly images: ReturnType<typeof preloadedSizes>;
  /** The documents as they stand in the image, parsed; undefined where the image has none. */
  readonly sbom: unknown;
  readonly provenance: unknown;
}

/** Reads an image's metadata and the documents in it. @throws as `readImage` */
export async function inspectImage(layout: ImageLayout, named: Descriptor, architecture: string): Promise<ImageInspection> {
  const image = await readImage(layout, named, architecture);
  const view = new ImageView(image);
  const document = (path: string): unknown => {
    const text = view.text(path);
    return text === undefined ? undefined : (JSON.parse(text) as unknown);
  };
  return {
    digest: image.descriptor.digest,
    config: image.manifest.config.digest,
    platform: `${image.config.os}/${image.config.architecture}`,
    created: image.config.created,
    labels: view.labels,
    runtime: runtimeIn(view),
    annotations: image.manifest.annotations ?? {},
    sizes: imageSizes(image),
    images: preloadedSizes(view),
    sbom: document(SBOM_PATH),
    provenance: document(PROVENANCE_PATH),
  };
}

function runtimeIn(view: ImageView): Distribution['cri'] | undefined {
  if (usesCrio(view)) return 'cri-o';
  return view.target(view.etc('containerd/config.toml')) === undefined ? undefined : 'containerd';
}
