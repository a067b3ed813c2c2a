import { mkdtempSync, rmSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';

import { imageRefs, kubeadmScript, serveFiles } from '../../test/fixtures/http-release-server.ts';
import { layoutTools, testLayout, writeImage } from '../../test/fixtures/image-layout.ts';
import { MemoryTree } from '../../test/fixtures/image-tree.ts';
import { payloadParts, testRun } from '../../test/fixtures/payload-parts.ts';
import { sha256 } from '../core/digest.ts';
import { parseVersionRequest } from '../core/versions.ts';
import { saveArchive } from '../oci/archive-save.ts';
import { readImage } from '../oci/image.ts';
import { openLayout } from '../oci/layout.ts';
import { directorySource } from './dir-source.ts';

const scratch = mkdtempSync(join(tmpdir(), 'kvci-dir-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const VERSION = '1.37.0-alpha.1';
const context = testRun();
await using server = await serveFiles();
const images = await testLayout(scratch);
let folder: string;
let store: string;

const source = () => directorySource({ ...payloadParts(server, store), path: folder });
const resolve = (text = VERSION) => source().resolve(parseVersionRequest(text), 'amd64', context);

/** What a build of Kubernetes leaves: programs in bin/, an archive for each image, named by architecture as its own build does. */
beforeEach(async () => {
  folder = mkdtempSync(join(scratch, 'build-'));
  store = mkdtempSync(join(scratch, 'store-'));
  await mkdir(join(folder, 'bin'));
  await mkdir(join(folder, 'release-images/amd64'), { recursive: true });
  for (const name of ['kubelet', 'kubectl', 'crictl', 'runc']) await writeFile(join(folder, 'bin', name), name);
  await writeFile(join(folder, 'bin/kubeadm'), kubeadmScript(VERSION));
  await chmod(join(folder, 'bin/kubeadm'), 0o755);
  for (const ref of imageRefs(VERSION)) {
    const tree = new MemoryTree({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [] } }).file(
      'program',
      ref,
    );
    const image = await writeImage(images, tree, ref);
    const name = ref.includes('/kube-') ? ref.replace(':', '-amd64:') : ref;
    await writeFile(
      join(folder, 'release-images/amd64', `${sha256(ref).slice(7, 17)}.tar`),
      await buffer(saveArchive(images, image, { layers: 'as-is', refs: [name] })),
    );
  }
});

describe('a folder of one’s own', () => {
  it('gives programs and images, every file by its digest', async () => {
    const lock = await resolve();
    expect(lock).toMatchObject({
      source: 'dir',
      versions: { kubernetes: VERSION, etcd: '3.5.15', coredns: '1.11.3', pause: '3.10' },
      created: '2024-12-10T11:02:03Z',
    });
    expect(await source().find(lock, 'amd64')).toBeUndefined();
    const payload = await source().make(lock, 'amd64', context);
    expect(payload.files.map(({ path }) => path).toSorted()).toEqual([
      '/usr/bin/crictl',
      '/usr/bin/kubeadm',
      '/usr/bin/kubectl',
      '/usr/bin/kubelet',
      '/usr/sbin/runc',
    ]);
    for (const file of payload.files) expect(sha256(await readFile(file.source))).toBe(file.digest);
    expect(payload.images.map(({ ref }) => ref)).toEqual(imageRefs(VERSION));
    const layout = await openLayout(payload.layout ?? '', layoutTools);
    for (const { ref, manifest } of payload.images) expect((await readImage(layout, ref)).descriptor.digest).toBe(manifest);
    expect(await source().find(lock, 'amd64')).toEqual(payload);
  });

  it('is known by what it holds, not by where it lies', async () => {
    const lock = await resolve();
    await writeFile(join(folder, 'bin/kubelet'), 'another kubelet');
    expect(source().key(await resolve(), 'amd64')).not.toBe(source().key(lock, 'amd64'));
    expect(await source().find(lock, 'amd64')).toBeUndefined();
    await expect(source().make(lock, 'amd64', context)).rejects.toMatchObject({ code: 'payload-changed' });
  });

  it('says what is missing', async () => {
    await rm(join(folder, 'bin/kubectl'));
    expect(await source().probe()).toEqual({ usable: false, reason: `${folder} has no kubectl` });
    await expect(resolve()).rejects.toMatchObject({ code: 'payload-incomplete', facts: { missing: ['kubectl'] } });
  });

  it('names the images that its archives lack', async () => {
    const ref = 'registry.k8s.io/pause:3.10';
    await rm(join(folder, 'release-images/amd64', `${sha256(ref).slice(7, 17)}.tar`));
    await expect(source().make(await resolve(), 'amd64', context)).rejects.toMatchObject({
      code: 'payload-incomplete',
      facts: { missing: [ref] },
    });
  });

  it('holds one version', async () => {
    expect((await resolve('1.37')).versions.kubernetes).toBe(VERSION);
    await expect(resolve('1.36')).rejects.toMatchObject({ code: 'version-not-served', hint: `Ask for --k8s ${VERSION}.` });
  });
});
