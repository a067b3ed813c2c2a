import { expect, test } from 'vitest';

import { scratchFolder } from '../../test/fixtures/layouts.ts';
import { smallImage } from '../../test/fixtures/small-image.ts';
import { sha256 } from '../core/digest.ts';
import { nodeArchitecture } from './node-architecture.ts';

test('is that of the image of its nodes, as long as it is there', async () => {
  const { layout, image } = await smallImage(scratchFolder(), { name: 'localhost/node:1', greeting: 'hello', architecture: 's390x' });
  const of = (digest: typeof image.descriptor.digest) => nodeArchitecture({ image: { digest, name: 'localhost/node:1' } }, layout, 'amd64');
  expect([await of(image.descriptor.digest), await of(sha256('removed'))]).toEqual(['s390x', 'amd64']);
});
