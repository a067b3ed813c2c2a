import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import { undiciHttp } from '../../../src/host/adapters/undici-http.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { RegistryClient } from '../../../src/oci/registry.ts';
import { pushImage } from '../../../src/oci/registry-transfer.ts';
import { startRegistry } from '../../fixtures/docker-registry.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { podOn } from '../../fixtures/own-program-pods.ts';
import { smallImage } from '../../fixtures/small-image.ts';

/* Images of one's own in a node image, out of a registry: what they cost is told, and a pod runs one without a network. */

const NAME = 'kvci-test-preload';
const TAG = 'localhost/kvci-test/preloaded:1';
const NEVER = new AbortController().signal;

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
    const { layout, image } = await smallImage(folder, { name: 'localhost/x:1', greeting: 'preloaded' });
    const client = new RegistryClient({ http: undiciHttp({ offline: false }), credentials: () => Promise.resolve(undefined) });
    await pushImage(client, layout, image.descriptor, parseReference(greeter));
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
      await api.apply(podOn('node01', 'greeter', greeter, '[ "$(</greeting)" = preloaded ]'), NEVER);
      await api.until(({ pods }) => pods.some((pod) => pod.name === 'greeter' && pod.done), AbortSignal.timeout(120_000));
    } finally {
      await here('down', NAME);
    }
  });
});
