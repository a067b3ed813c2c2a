import { describe, expect, it } from 'vitest';

import { testLayout, writeImage } from '../../test/fixtures/image-layout.ts';
import { scratchFolder } from '../../test/fixtures/layouts.ts';
import { goodNode } from '../../test/fixtures/node-tree.ts';
import { sourceImage } from './source.ts';

describe('an image that a disk can be made of', () => {
  it('is one of bootc, for the architecture of the host', async () => {
    const layout = await testLayout(scratchFolder());
    const descriptor = await writeImage(layout, goodNode(), 'localhost/node:1');
    const { image } = await sourceImage({ layout, descriptor }, 'localhost/node:1', 'amd64');
    expect(image.descriptor.digest).toBe(descriptor.digest);
    await expect(sourceImage({ layout, descriptor }, 'localhost/node:1', 'arm64')).rejects.toMatchObject({
      code: 'wrong-architecture',
      exitCode: 2,
      message: 'localhost/node:1 is an image for amd64, and this host makes disks for arm64',
    });
  });

  it.each([undefined, '0', 'true'])('is not one whose label is %s', async (label) => {
    const layout = await testLayout(scratchFolder());
    const descriptor = await writeImage(layout, goodNode().label('containers.bootc', label), 'localhost/other:1');
    await expect(sourceImage({ layout, descriptor }, 'localhost/other:1', 'amd64')).rejects.toMatchObject({
      code: 'not-a-bootc-image',
      exitCode: 2,
    });
  });
});
