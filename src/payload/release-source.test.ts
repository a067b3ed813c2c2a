import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';

import { addRelease, type FileServer, imageRefs, serveFiles } from '../../test/fixtures/http-release-server.ts';
import { layoutTools } from '../../test/fixtures/image-layout.ts';
import { payloadParts, testRun } from '../../test/fixtures/payload-parts.ts';
import { sha256 } from '../core/digest.ts';
import { parseVersionRequest } from '../core/versions.ts';
import { readImage } from '../oci/image.ts';
import { openLayout } from '../oci/layout.ts';
import { releaseSource } from './release-source.ts';
import { readChecksum } from './release-servers.ts';
import { crictlVersion } from './release-versions.ts';

const scratch = mkdtempSync(join(tmpdir(), 'kvci-release-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let server: FileServer;
let folder: string;
const run = testRun();
const at = (path = folder, offline = false) => releaseSource(payloadParts(server, path, offline));
const resolve = (text: string) => at().resolve(parseVersionRequest(text), 'amd64', run);

beforeEach(async () => {
  server = await serveFiles();
  folder = mkdtempSync(join(scratch, 'store-'));
  await addRelease(server, '1.31.4');
});
afterEach(() => server[Symbol.asyncDispose]());

describe('release', () => {
  it.each(['1.31', '1.31.4', 'stable'])('locks every input of %s with its digest', async (asked) => {
    const lock = await resolve(asked);
    expect(lock).toMatchObject({
      source: 'release',
      versions: { kubernetes: '1.31.4', etcd: '3.5.15', coredns: '1.11.3', pause: '3.10', containerd: '2.1.4' },
      created: '2024-12-10T11:02:03Z',
    });
    const inputs = lock.inputs as { files: { component: string; sha256: string }[]; images: { ref: string }[] };
    expect(inputs.files.map(({ component }) => component)).toEqual([
      'kubelet',
      'kubeadm',
      'kubectl',
      'containerd',
      'runc',
      'cni-plugins',
      'crictl',
    ]);
    expect(inputs.files[0]?.sha256).toBe(sha256('kubelet 1.31.4'));
    expect(inputs.images.map(({ ref }) => ref)).toEqual(imageRefs('1.31.4'));
  });

  it('makes files by their place in the node and the images in one layout', async () => {
    const lock = await resolve('1.31');
    expect(await at().find(lock, 'amd64')).toBeUndefined();
    const payload = await at().make(lock, 'amd64', run);
    expect(payload.files.map(({ path, mode }) => `${path} ${mode.toString(8)}`)).toEqual(
      [
        '/usr/bin/containerd',
        '/usr/bin/containerd-shim-runc-v2',
        '/usr/bin/crictl',
        '/usr/bin/ctr',
        '/usr/bin/kubeadm',
        '/usr/bin/kubectl',
        '/usr/bin/kubelet',
        '/usr/lib/cni/bridge',
        '/usr/lib/cni/host-local',
        '/usr/sbin/runc',
      ].map((path) => `${path} 755`),
    );
    for (const { source, digest, size } of payload.files) {
      expect(sha256(await readFile(source))).toBe(digest);
      expect((await stat(source)).size).toBe(size);
    }
    const layout = await openLayout(payload.layout ?? '', layoutTools);
    for (const { ref, manifest } of payload.images) {
      const image = await readImage(layout, ref);
      expect(image.descriptor.digest).toBe(manifest);
      expect(image.config.architecture).toBe('amd64');
    }
    expect(payload.images.map(({ ref }) => ref).toSorted()).toEqual(imageRefs('1.31.4').toSorted());
    expect(payload.components.find(({ name }) => name === 'kubelet')).toEqual({
      name: 'kubelet',
      version: '1.31.4',
      purl: `pkg:generic/kubelet@1.31.4?checksum=${encodeURIComponent(sha256('kubelet 1.31.4'))}`,
      digest: sha256('kubelet 1.31.4'),
    });
    expect(payload.components).toHaveLength(14);
  });

  it('makes the same again without a network', async () => {
    const lock = await resolve('1.31');
    const made = await at().make(lock, 'amd64', run);
    server.requests.length = 0;
    expect(await at(folder, true).find(lock, 'amd64')).toEqual(made);
    expect(await at(folder, true).make(lock, 'amd64', run)).toEqual(made);
    expect(server.requests).toEqual([]);
  });

  it('says that a newer patch exists', async () => {
    await addRelease(server, '1.31.9');
    expect((await resolve('1.31.4')).newerExists).toBe('1.31.9');
    expect((await resolve('1.31')).newerExists).toBeUndefined();
  });

  it.each(['1.32', '1.31.99', '1.35.2'])('lists what is served when %s is not', async (asked) => {
    await expect(resolve(asked)).rejects.toMatchObject({
      code: 'version-not-served',
      exitCode: 5,
      hint: 'It serves 1.31.4, among others.',
      facts: { served: ['1.31.4'] },
    });
  });

  it('refuses a program that is not what its checksum says, and keeps nothing of it', async () => {
    const lock = await resolve('1.31');
    server.files.set('/release/v1.31.4/bin/linux/amd64/kubelet', 'something else');
    await expect(at().make(lock, 'amd64', run)).rejects.toMatchObject({ code: 'checksum-mismatch' });
    expect(await at().find(lock, 'amd64')).toBeUndefined();
    server.files.set('/release/v1.31.4/bin/linux/amd64/kubelet', 'kubelet 1.31.4');
    expect((await at().make(lock, 'amd64', run)).files).toHaveLength(10);
  });

  it('refuses an image that is not what its digest says', async () => {
    const lock = await resolve('1.31');
    const { images } = lock.inputs as { images: { ref: string; digest: string }[] };
    const pause = images.find(({ ref }) => ref.includes('/pause:'))!;
    const path = `/v2/pause/manifests/${pause.digest}`;
    server.files.set(path, server.files.get(path)!.toString().replace('"schemaVersion":2', '"schemaVersion": 2'));
    await expect(at().make(lock, 'amd64', run)).rejects.toMatchObject({ code: 'digest-mismatch' });
  });

  it('refuses an answer that is no checksum', async () => {
    server.files.set('/release/v1.31.4/bin/linux/amd64/kubectl.sha256', '<html>Sign in</html>');
    await expect(resolve('1.31')).rejects.toMatchObject({ code: 'checksum-missing' });
  });

  it('refuses the lock of another source', async () => {
    const lock = await resolve('1.31');
    expect(() => at().key({ ...lock, source: 'modules' }, 'amd64')).toThrow(expect.objectContaining({ code: 'lock-broken' }));
  });

  it('says whether its server answers', async () => {
    expect(await at().probe()).toEqual({ usable: true, reason: `${server.url} answers` });
    expect(await at(folder, true).probe()).toMatchObject({ usable: false });
  });
});

describe('checksum files', () => {
  const hex = sha256('x').slice(7);
  it.each([
    ['a lone digest', hex],
    ['a line of sha256sum', `${hex}  a.tgz\n`],
    ['a line in binary mode', `${hex} *a.tgz\n`],
    ['one of several lines', `${'0'.repeat(64)}  b.tgz\n${hex}  ./a.tgz\n`],
  ])('are read as %s', (_title, text) => {
    expect(readChecksum(text, 'a.tgz', 'url')).toBe(`sha256:${hex}`);
  });

  it('name their file', () => {
    expect(() => readChecksum(`${hex}  b.tgz`, 'a.tgz', 'https://x/sums')).toThrow('https://x/sums holds no sha256 of a.tgz');
  });
});

it.each([
  ['1.31.4', '1.31.1'],
  ['1.33.0', '1.32.0'],
])('crictl for %s is %s', (kubernetes, expected) => {
  expect(crictlVersion(['1.36.0', '1.32.0', '1.31.1', '1.31.0'], kubernetes)).toBe(expected);
});
