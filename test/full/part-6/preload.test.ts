import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import { startRegistry } from '../../fixtures/docker-registry.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { greets } from '../../fixtures/own-program-pods.ts';
import { pushSmallImage } from '../../fixtures/small-image.ts';

/* Images of one's own in a node image, out of a registry: what they cost is told, and a pod runs one without a network. */

const NAME = 'kvci-test-preload';
const TAG = 'localhost/kvci-test/preloaded:1';

interface Preloaded {
  readonly name: string;
  readonly digest: string;
  readonly size: number;
}

describe('image build --preload', () => {
  let folder: string;
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let list: string;
  let greeter: string;
  let expected: Preloaded;
  const here = wellDone(kvciIn(() => ({ path: folder })));
  const build = async (...more: readonly string[]) =>
    JSON.parse(
      await here('image', 'build', '--k8s', '1.36', '--payload', 'modules', '--tag', TAG, '--preload', list, '--output', 'json', ...more),
    ) as { readonly digest: string; readonly reused: boolean; readonly preloaded: readonly Preloaded[] };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-preload-'));
    registry = await startRegistry(folder);
    greeter = `${registry.host}/team/greeter:1`;
    const { image } = await pushSmallImage(folder, greeter, 'preloaded');
    const { digest } = image.descriptor;
    expected = { name: greeter, digest, size: image.manifest.layers.reduce((sum, { size }) => sum + size, 0) };
    list = join(folder, 'addons.txt');
    await writeFile(list, `# what we run\n${greeter}@${digest}\n`);
  });

  afterAll(async () => {
    await registry.stop();
    await here('image', 'rm', TAG);
    await rm(folder, { recursive: true, force: true });
  });

  it('tells what each costs, holds all facts of an image, and is reused without the registry', async () => {
    const built = await build();
    expect(built.preloaded).toEqual([expected]);
    const { images } = JSON.parse(await here('image', 'inspect', TAG, '--output', 'json')) as { readonly images: readonly Preloaded[] };
    expect(images).toContainEqual(expected);
    expect(images.length).toBeGreaterThan(7);
    await here('image', 'check', TAG);
    await registry.stop();
    expect(await build()).toMatchObject({ digest: built.digest, reused: true, preloaded: [expected] });
  });

  it('a pod of it runs without a registry', async () => {
    const { kubeconfig } = JSON.parse(await here('up', NAME, '--image', TAG, '--provider', 'kind', '--output', 'json')) as {
      readonly kubeconfig: string;
    };
    try {
      const api = kubernetesClient(await readFile(kubeconfig, 'utf8'));
      await greets(api, { node: 'node01', name: 'greeter', image: greeter, greeting: 'preloaded' });
    } finally {
      await here('down', NAME);
    }
  });
});
