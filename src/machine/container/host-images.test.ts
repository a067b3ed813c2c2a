import { expect, it } from 'vitest';

import { sha256 } from '../../core/digest.ts';
import { requestFailed } from '../../host/engine/errors.ts';
import { BALANCER_IMAGE, nodeImageName, removeUnusedImages } from './host-images.ts';

const [needed, used, old] = ['needed', 'used', 'old'].map((text) => sha256(text)) as [
  ReturnType<typeof sha256>,
  ReturnType<typeof sha256>,
  ReturnType<typeof sha256>,
];

/** An engine with these images, one of them of a container. */
function engineOf(...tags: readonly string[]) {
  const left = new Set(tags);
  return {
    left: () => [...left],
    engine: {
      images: () => Promise.resolve([...left]),
      remove: (tag: string) =>
        tag === nodeImageName(used)
          ? Promise.reject(requestFailed(`remove ${tag}`, 'image is in use by a container', 409))
          : Promise.resolve(void left.delete(tag)),
    },
  };
}

it('images that no cluster needs and no container uses go, those of others never', async () => {
  const { engine, left } = engineOf(...[needed, used, old].map(nodeImageName), BALANCER_IMAGE, 'localhost/kvci/balancer:0', 'debian:13');
  expect(await removeUnusedImages(engine, [needed])).toEqual([nodeImageName(old), 'localhost/kvci/balancer:0']);
  expect(left()).toEqual([nodeImageName(needed), nodeImageName(used), BALANCER_IMAGE, 'debian:13']);
});

it('without clusters the load balancer goes, too', async () => {
  const { engine, left } = engineOf(BALANCER_IMAGE, 'debian:13');
  expect(await removeUnusedImages(engine, [])).toEqual([BALANCER_IMAGE]);
  expect(left()).toEqual(['debian:13']);
});

it('an engine that fails is told', async () => {
  const { engine } = engineOf(nodeImageName(old));
  await expect(
    removeUnusedImages({ ...engine, remove: () => Promise.reject(requestFailed('remove', 'storage', 500)) }, []),
  ).rejects.toThrow('storage');
});
