import { seedOf } from './container/config.ts';
import { logProgress, stagesOf } from './container/log-progress.ts';
import { type Dialect, OUTPUT } from './container/types.ts';
import type { DiskFormat } from './types.ts';

/** Folder and export of each format (contract D3). */
const EXPORTS: Readonly<Record<DiskFormat, string>> = { qcow2: 'qcow2', raw: 'image' };

/** Also the mode of the same name of its successor's program (contracts D2 and D3). */
export const BOOTC_IMAGE_BUILDER: Dialect = {
  name: 'bootc-image-builder',
  images: ['ghcr.io/osbuild/bootc-image-builder:latest', 'quay.io/centos-bootc/bootc-image-builder:latest'],
  mark: '--rootfs',
  needs: ['--type', '--rootfs', '--output', '--progress', '--chown'],
  config: { template: 'converters/bootc-image-builder.toml', inside: '/config.toml' },
  arguments: ({ request, image, flags, owner }) => [
    'build',
    '--type',
    request.format,
    '--rootfs',
    request.filesystem,
    '--output',
    `${OUTPUT}/`,
    '--progress',
    'verbose',
    ...(flags.has('--seed') ? ['--seed', seedOf(request)] : []),
    ...(owner === undefined ? [] : ['--chown', `${owner.uid}:${owner.gid}`]),
    image,
  ],
  outputFile: (format) => `${EXPORTS[format]}/disk.${format}`,
  progress: (format, output) => ({
    // The manifest is there before its first stage begins.
    line: logProgress(() => {
      const manifest = output(`manifest-${format}.json`);
      return manifest === undefined ? undefined : stagesOf(manifest, EXPORTS[format]);
    }),
  }),
};
