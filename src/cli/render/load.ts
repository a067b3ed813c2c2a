import { formatSize } from '../../core/sizes.ts';
import type { LoadReport } from '../services.ts';
import { table } from './table.ts';

export function formatLoad({ nodes }: LoadReport): string {
  const rows = nodes.flatMap(({ node, loaded, present, sent }) => [
    ...loaded.map((name, index) => [node, name, index === 0 ? `loaded, ${formatSize(sent)} sent` : 'loaded']),
    ...present.map((name) => [node, name, 'was there']),
  ]);
  return table(['NODE', 'IMAGE', ''], rows);
}
