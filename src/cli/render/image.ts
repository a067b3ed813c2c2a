import { shortDigest } from '../../core/digest.ts';
import { formatSize } from '../../core/sizes.ts';
import type { TextStyle } from '../command.ts';
import { painter } from '../progress/format.ts';
import type { ImageDescription, ImageDifference, ImageSummary } from '../services.ts';
import { facts, table } from './table.ts';

export function formatSummaries(images: readonly ImageSummary[]): string {
  if (images.length === 0) return '';
  return table(
    ['TAG', 'DIGEST', 'KUBERNETES', 'BASE', 'ARCH', 'SIZE', 'MADE'],
    images.map((image) => [
      image.tags.join(',') || '<none>',
      shortDigest(image.digest),
      image.kubernetes,
      image.base,
      image.architecture,
      formatSize(image.size),
      image.madeAt.slice(0, 16).replace('T', ' '),
    ]),
  );
}

export function formatDescription(image: ImageDescription): string {
  const blocks = [
    facts([
      ['Digest', image.digest],
      ...image.tags.map((tag) => ['Tag', tag] as const),
      ['Kubernetes', image.kubernetes],
      ['Base', `${image.base}, ${image.architecture}`],
      ['Size', formatSize(image.size)],
      ['Made', image.madeAt],
      ...Object.entries(image.documents),
    ]),
  ];
  const labels = Object.entries(image.labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (labels.length > 0) blocks.push(`Labels:\n${labels.map(([key, value]) => `  ${key}=${value}`).join('\n')}`);
  blocks.push(
    `Layers:\n${table(
      ['  DIGEST', 'SIZE', 'MADE BY'],
      image.layers.map((layer) => [`  ${shortDigest(layer.digest)}`, formatSize(layer.size), (layer.createdBy ?? '').slice(0, 80)]),
    )}`,
  );
  return blocks.join('\n\n');
}

const MARKS = { added: '+', removed: '-', changed: '~' } as const;
const STYLES = { added: 'green', removed: 'red', changed: 'yellow' } as const;

export function formatDifference(difference: ImageDifference, style: TextStyle): string {
  if (difference.same) return 'No difference.';
  const paint = painter(style.color);
  return difference.changes
    .map((change) => {
      const what = change.what.length === 0 ? '' : ` (${change.what.join(', ')})`;
      return `${paint(STYLES[change.kind], `${MARKS[change.kind]} ${change.path}`)}${what}`;
    })
    .join('\n');
}
