import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import type { KubernetesApi } from '../../../src/host/kubernetes.ts';
import { temporaryFolder } from '../../cli/run-kvci.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { greets } from '../../fixtures/own-program-pods.ts';
import { pushSmallImage, smallImage } from '../../fixtures/small-image.ts';
import { CONTENTS, OWN_DISK, SMALL_DISK, TOO_LARGE } from '../../fixtures/small-node-disk.ts';

/*
 * Images of one's own in a virtual machine, which may be emulated: one cluster serves for all. What is asked of mirrors, certificates
 * and damaged archives is the same for containers: registry.test.ts, load.test.ts.
 */

const NAME = 'kvci-vm-images';
const [PUSHED, LOADED] = ['team/greeter:1', 'example.org/greeter:loaded'];

interface Up {
  readonly registry: { readonly push: string; readonly pull: string };
  readonly kubeconfig: string;
}

interface Loaded {
  readonly nodes: readonly object[];
}

describe("images of one's own in a virtual machine", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let cluster: Up;
  let api: KubernetesApi;
  const call = kvciIn(() => folder);
  const here = wellDone(call);
  const brought = async (...args: readonly string[]): Promise<Up> => {
    const up = JSON.parse(await here(...args, '--timeout', '40m', '--output', 'json')) as Up;
    api = kubernetesClient(await readFile(up.kubeconfig, 'utf8'));
    return up;
  };
  const onNode = (script: string): Promise<string> => here('ssh', 'node01', '--cluster', NAME, '--', 'sh', '-c', script);
  const load = async (word: string): Promise<Loaded> =>
    JSON.parse(await here('load', word, '--cluster', NAME, '--output', 'json')) as Loaded;
  const pulls = (name: string): Promise<void> =>
    greets(api, { node: 'node01', name, image: `${cluster.registry.pull}/${PUSHED}`, greeting: 'pushed', pull: 'Always' });

  beforeAll(async () => {
    folder = await temporaryFolder();
    const { digest } = await nodeImage('1.36');
    cluster = await brought('up', NAME, '--image', digest, '--nodes', '1', '--provider', 'vm', '--registry');
  });

  afterAll(async () => {
    await call('down', NAME);
    await folder[Symbol.asyncDispose]();
  });

  it('are loaded once, and a pod runs one', async () => {
    const { archive } = await smallImage(folder.path, { name: LOADED, greeting: 'loaded', more: randomBytes(1_000_000) });
    expect((await load(archive)).nodes).toMatchObject([{ node: 'node01', loaded: [LOADED], present: [] }]);
    expect((await load(archive)).nodes).toEqual([{ node: 'node01', loaded: [], present: [LOADED], sent: 0 }]);
    await greets(api, { node: 'node01', name: 'loaded', image: LOADED, greeting: 'loaded' });
  });

  it('are pushed at localhost and pulled as registry:5000', async () => {
    expect(cluster.registry).toEqual({ push: expect.stringMatching(/^localhost:\d+$/) as string, pull: 'registry:5000' });
    await pushSmallImage(folder.path, `${cluster.registry.push}/${PUSHED}`, 'pushed');
    await pulls('pulled');
  });

  it('are in the registry, at its port, after stop and start', async () => {
    await here('stop', NAME);
    expect((await brought('start', NAME)).registry).toEqual(cluster.registry);
    await pulls('kept');
  });

  // The last one: its pods start again afterwards, those of the control plane too.
  it('that do not fit on its disk are told, leave nothing on it, and fit later', async () => {
    const name = 'example.org/greeter:large';
    const { archive } = await smallImage(folder.path, { name, greeting: 'large', more: randomBytes(TOO_LARGE) });
    await onNode(SMALL_DISK);
    try {
      const { code, stdout } = await call('load', archive, '--cluster', NAME, '--output', 'json');
      expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 1, error: { code: 'node-disk-full' } });
      expect(await onNode(CONTENTS)).toBe('');
    } finally {
      await onNode(OWN_DISK);
    }
    expect((await load(archive)).nodes).toMatchObject([{ loaded: [name] }]);
  });
});
