import { shortDigest } from '../../core/digest.ts';
import { formatSize } from '../../core/sizes.ts';
import type { TextStyle } from '../command.ts';
import { painter } from '../progress/format.ts';
import type { Change, ImageDifference } from '../../image/diff.ts';
import type { ImageSummary } from '../../image/images.ts';
import type { ImageInspection } from '../../image/inspect.ts';
import { facts, table } from './table.ts';

export function formatSummaries(images: readonly ImageSummary[]): string {
  if (images.length === 0) return '';
  return table(
    ['TAG', 'DIGEST', 'KUBERNETES', 'BASE', 'ARCH', 'SIZE', 'CREATED'],
    images.map((image) => [
      image.tags.join(',') || '<none>',
      shortDigest(image.digest),
      image.kubernetes,
      image.base,
      image.architecture,
      formatSize(image.size),
      image.created.slice(0, 10),
    ]),
  );
}

export function formatInspection(image: ImageInspection): string {
  const { sizes } = image;
  return [
    facts([
      ['Digest', image.digest],
      ['Platform', image.platform],
      ['Created', image.created ?? ''],
      ['Runtime', image.runtime ?? 'none'],
      ['Size', `${formatSize(sizes.compressed)} compressed, ${formatSize(sizes.unpacked)} unpacked`],
      ['SBOM', image.sbom === undefined ? 'none' : '/usr/share/kvci/sbom.cdx.json'],
      ['Provenance', image.provenance === undefined ? 'none' : '/usr/share/kvci/provenance.json'],
    ]),
    `Labels:\n${Object.entries(image.labels)
      .map(([key, value]) => `  ${key}=${value}`)
      .join('\n')}`,
    `Layers:\n${table(
      ['  DIGEST', 'SIZE', 'UNPACKED', 'MADE BY'],
      sizes.layers.map((layer) => [
        `  ${shortDigest(layer.digest)}`,
        formatSize(layer.compressed),
        formatSize(layer.unpacked),
        (layer.createdBy ?? '').slice(0, 80),
      ]),
    )}`,
    `Preloaded images:\n${table(
      ['  SIZE', 'NAME'],
      image.images.map(({ name, size }) => [`  ${formatSize(size)}`, name]),
    )}`,
    `Largest:\n${table(
      ['  SIZE', 'PATH'],
      sizes.largest.map(({ path, size }) => [`  ${formatSize(size)}`, path]),
    )}`,
  ].join('\n\n');
}

export function formatDifference(difference: ImageDifference, style: TextStyle): string {
  if (difference.same) return 'No difference.';
  const paint = painter(style.color);
  const changed = (title: string, changes: readonly Change<string>[]): string[] =>
    changes.length === 0
      ? []
      : [`${title}:`, ...changes.map(({ name, before, after }) => `  ${name}: ${before ?? '(none)'} -> ${after ?? '(none)'}`), ''];
  const { added, removed, changed: altered } = difference.files;
  return [
    ...changed('Labels', difference.labels),
    ...changed('Components', difference.components),
    ...removed.map(({ path, size }) => `${paint('red', `- ${path}`)} (${formatSize(size)})`),
    ...added.map(({ path, size }) => `${paint('green', `+ ${path}`)} (${formatSize(size)})`),
    ...altered.map(({ path, aspects }) => `${paint('yellow', `~ ${path}`)} (${aspects.join(', ')})`),
    '',
    `${difference.growth < 0 ? '-' : '+'}${formatSize(Math.abs(difference.growth))}`,
  ].join('\n');
}
