import { KvciError } from '../core/errors.ts';
import { BOOTC_LABEL } from '../image/labels.ts';
import type { LocatedImage } from '../image/locate.ts';
import { readImageAt } from '../oci/image.ts';
import type { Architecture } from '../payload/types.ts';
import type { SourceImage } from './types.ts';

/**
 * An image that a disk can be made of on a host of `architecture`.
 *
 * @param word as the user named it
 * @throws KvciError `not-a-bootc-image`, `wrong-architecture`, and as `readImageAt`
 */
export async function sourceImage({ layout, descriptor }: LocatedImage, word: string, architecture: Architecture): Promise<SourceImage> {
  const image = await readImageAt(layout, descriptor, architecture);
  const { config } = image;
  if (config.config?.Labels?.[BOOTC_LABEL] !== '1') {
    throw new KvciError('usage', 'not-a-bootc-image', `${word} is no bootc image: it has no label ${BOOTC_LABEL}=1`, {
      hint: 'Build one with "kvci image build", or see "kvci image list".',
      facts: { image: word },
    });
  }
  if (config.architecture !== architecture) {
    const message = `${word} is an image for ${config.architecture}, and this host makes disks for ${architecture}`;
    throw new KvciError('usage', 'wrong-architecture', message, { facts: { image: config.architecture, host: architecture } });
  }
  return { image, layout, architecture };
}
