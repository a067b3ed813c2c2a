import { formatSize } from '../../core/sizes.ts';
import type { BuiltDisk } from '../services.ts';
import { facts } from './table.ts';

export function formatDisk({ path, image, format, size, converter, directBoot }: BuiltDisk): string {
  return facts([
    ['Disk', path],
    ['Format', `${format}, ${formatSize(size)}`],
    ['Image', image],
    ['Converter', converter],
    ...(directBoot === undefined
      ? []
      : ([
          ['Kernel', directBoot.kernel],
          ['Initramfs', directBoot.initramfs],
          ['Arguments', directBoot.arguments],
        ] as const)),
  ]);
}
