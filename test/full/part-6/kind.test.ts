import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hexOf } from '../../../src/core/digest.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { pauseImageOf, podOn } from '../../fixtures/own-program-pods.ts';
import { smallImage } from '../../fixtures/small-image.ts';
import { type UpstreamKind, upstreamKind } from '../../fixtures/upstream-kind.ts';

/*
 * Upstream's kind with kvci's image as it is, natively: in the engine and the user namespace of kvci's own nodes.
 */

const NAME = 'kvci-test-kind';
const HELPER = 'kvci-test-kind-engine';
const [CONTROL_PLANE, WORKER] = [`${NAME}-control-plane`, `${NAME}-worker`];
const GREETER = 'example.org/greeter:kind';
const WAIT_READY = fileURLToPath(new URL('../../../bench/kind/wait-ready.ts', import.meta.url));

describe("upstream's kind", () => {
  let folder: string;
  let upstream: UpstreamKind;
  let pause: string;
  const call = kvciIn(() => ({ path: folder }));
  const here = wellDone(call);
  const kubectl = (...args: readonly string[]): string =>
    upstream.podman(['exec', '-i', CONTROL_PLANE, 'kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', ...args]);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-kind-'));
    const { digest } = await nodeImage('1.36');
    // Keeps the engine running, with the image in it.
    await here('up', HELPER, '--image', digest);
    pause = await pauseImageOf((...argv) => call('ssh', 'node01', '--cluster', HELPER, '--', ...argv));
    upstream = await upstreamKind(folder);
    const config = await here('kind', 'config', digest, '--image', `localhost/kvci/node:${hexOf(digest)}`);
    await writeFile(join(folder, 'kind.yaml'), config);
    upstream.kind('create', 'cluster', '--name', NAME, '--config', join(folder, 'kind.yaml'), '--kubeconfig', join(folder, 'kubeconfig'));
  });

  afterAll(async () => {
    upstream.kind('delete', 'cluster', '--name', NAME, '--kubeconfig', join(folder, 'kubeconfig'));
    upstream.podman(['network', 'rm', '--force', 'kind']);
    await here('down', HELPER);
    await rm(folder, { recursive: true, force: true });
  });

  it('has a Ready cluster of a control plane and a worker, with names and connections between pods', () => {
    const said = upstream.inNetwork(process.execPath, WAIT_READY, join(folder, 'kubeconfig'), pause, CONTROL_PLANE, WORKER);
    expect(JSON.parse(said)).toEqual({ nodesReady: expect.any(Number) as number, ready: expect.any(Number) as number });
  });

  it('loads an image that a pod then runs, and finds it there the second time', async () => {
    const { archive } = await smallImage(folder, { name: GREETER, greeting: 'kind' });
    upstream.podman(['load'], await readFile(archive));
    upstream.kind('load', 'docker-image', GREETER, '--name', NAME);
    const pod = podOn(WORKER, 'greeter', GREETER, '[ "$(</greeting)" = kind ]');
    upstream.podman(
      ['exec', '-i', CONTROL_PLANE, 'kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', 'apply', '-f', '-'],
      JSON.stringify(pod),
    );
    kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=120s', 'pod/greeter');
    expect(upstream.podman(['exec', WORKER, 'crictl', 'images'])).toContain('example.org/greeter');
    upstream.kind('load', 'docker-image', GREETER, '--name', NAME);
  });

  it("exports logs with each node's journal", async () => {
    const logs = join(folder, 'logs');
    upstream.kind('export', 'logs', logs, '--name', NAME);
    for (const node of [CONTROL_PLANE, WORKER]) {
      expect(await readFile(join(logs, node, 'journal.log'), 'utf8')).toContain('kubelet');
      expect(await readFile(join(logs, node, 'images.log'), 'utf8')).toContain('registry.k8s.io/pause');
      expect(await readFile(join(logs, node, 'kubernetes-version.txt'), 'utf8')).toMatch(/^v1\.\d+\.\d+/);
      expect(await readdir(join(logs, node, 'pods'))).not.toEqual([]);
    }
  });
});
