import { KvciError } from '../../core/errors.ts';
import type { DiskConverter } from '../types.ts';
import { convertNatively, type NativeParts } from './convert.ts';

/** Grows when the same inputs give another disk. */
const FORMAT = 1;

/** Needs neither engine nor privilege: everything runs over the tools image. */
export function nativeConverter(parts: NativeParts): DiskConverter {
  return {
    name: 'native',
    unfit: ({ filesystem }) =>
      Promise.resolve(
        filesystem === 'ext4'
          ? undefined
          : new KvciError('usage', 'filesystem-not-native', `the native converter makes ext4, and ${filesystem} was asked for`, {
              hint: 'Leave --filesystem out, or take --converter bootc-image-builder.',
            }),
      ),
    identity: async () => ({ format: FORMAT, tools: (await parts.tools()).key }),
    convert: (request, folder, context) => convertNatively(request, folder, parts, context),
  };
}
