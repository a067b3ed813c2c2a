import { sha256 } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { TemplateSources } from '../../core/template.ts';
import type { DiskConverter } from '../types.ts';
import { convertNatively, type NativeParts } from './convert.ts';

/** Grows when the same inputs and templates give another disk. */
const FORMAT = 2;

/** What of `templates/` gets into disks. */
const TEMPLATES = 'disk/native/';

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
    identity: async () => ({ format: FORMAT, templates: templatesDigest(parts.templates), tools: (await parts.tools()).key }),
    convert: (request, folder, context) => convertNatively(request, folder, parts, context),
  };
}

function templatesDigest(templates: TemplateSources): string {
  return sha256(JSON.stringify([...templates].filter(([name]) => name.startsWith(TEMPLATES)).toSorted(([a], [b]) => (a < b ? -1 : 1))));
}
