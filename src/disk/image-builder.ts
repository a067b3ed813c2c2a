import { seedOf } from './container/config.ts';
import { parseProgressFile } from './container/file-progress.ts';
import { type Dialect, OUTPUT } from './container/types.ts';

/** What its files are called. */
const NAME = 'disk';

const BLUEPRINT = '/blueprint.toml';

/** The successor of bootc-image-builder, by its own command line (contract D4). */
export const IMAGE_BUILDER: Dialect = {
  name: 'image-builder',
  images: ['ghcr.io/osbuild/image-builder:latest', 'ghcr.io/osbuild/image-builder-cli:latest'],
  mark: '--bootc-ref',
  needs: ['--bootc-ref', '--bootc-default-fs', '--blueprint', '--image-size', '--output-dir', '--output-name', '--progress'],
  config: { template: 'converters/image-builder.toml', inside: BLUEPRINT },
  arguments: ({ request, image, flags }) => [
    'build',
    request.format,
    '--bootc-ref',
    image,
    '--bootc-default-fs',
    request.filesystem,
    '--blueprint',
    BLUEPRINT,
    '--image-size',
    // First it was a number of bytes, then a text with a unit.
    flags.get('--image-size') === 'string' ? `${request.size / 2 ** 20} MiB` : String(request.size),
    '--output-dir',
    OUTPUT,
    '--output-name',
    NAME,
    '--progress',
    'file',
    ...(flags.has('--with-buildlog') ? ['--with-buildlog'] : []),
    ...(flags.has('--seed') ? ['--seed', seedOf(request)] : []),
  ],
  outputFile: (format) => `${NAME}.${format}`,
  progress: () => ({ line: () => undefined, file: { name: `${NAME}.progress`, read: parseProgressFile } }),
};
