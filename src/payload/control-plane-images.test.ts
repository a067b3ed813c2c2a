import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

import { layoutTools, scratchFolder, scratchLayout, treeEntry } from '../../test/fixtures/layouts.ts';
import { readBlob } from '../oci/blobs.ts';
import { readLayer } from '../oci/layer.ts';
import { createLayout, type ImageLayout } from '../oci/layout.ts';
import { listManifests, requireManifest } from '../oci/manifests.ts';
import type { ImageConfig, Manifest } from '../oci/types.ts';
import { assembleImages, type ImagesRequest } from './control-plane-images.ts';
import { imageRefs } from './kubeadm-constants.ts';
import { proxyEntries } from './userland.ts';

const PROGRAMS = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'etcd', 'etcdctl', 'coredns', 'pause'];
const REFS = imageRefs('1.36.3', { etcd: '3.6.8-0', coredns: 'v1.14.2', pause: '3.10.2' });

async function request(more: Partial<ImagesRequest> = {}): Promise<ImagesRequest> {
  const folder = join(scratchFolder(), 'bin');
  await mkdir(folder);
  const programs = new Map<string, { path: string; size: number }>();
  for (const name of PROGRAMS) {
    const path = join(folder, name);
    await writeFile(path, `program ${name}`);
    programs.set(name, { path, size: `program ${name}`.length });
  }
  const proxy = proxyEntries(
    [treeEntry('usr/sbin/nft', 'nft'), treeEntry('lib/x86_64-linux-gnu/libc.so.6', 'libc'), treeEntry('usr/share/man/man8/nft.8', 'page')],
    'amd64',
  );
  return {
    refs: REFS,
    architecture: 'amd64',
    created: '2026-07-22T18:07:38Z',
    programs,
    userland: { certificates: Buffer.from('certificates\n'), proxy },
    ...more,
  };
}

async function image(layout: ImageLayout, ref: string): Promise<{ manifest: Manifest; config: ImageConfig; files: Map<string, string> }> {
  const manifest = JSON.parse((await readBlob(layout, await requireManifest(layout, ref))).toString()) as Manifest;
  const config = JSON.parse((await readBlob(layout, manifest.config)).toString()) as ImageConfig;
  const files = new Map<string, string>();
  for (const layer of manifest.layers) {
    for await (const entry of readLayer(layout, layer)) {
      expect(entry.mtime).toBe(Date.parse('2026-07-22T18:07:38Z') / 1000);
      const content = entry.type === 'file' ? (await buffer(entry.content())).toString() : (entry.linkname ?? '');
      files.set(entry.path, `${entry.mode.toString(8)} ${entry.uid} ${content}`);
    }
  }
  return { manifest, config, files };
}

describe('control-plane images', () => {
  it('are what kubeadm asks for, with entrypoints and users of upstream', async () => {
    const layout = await scratchLayout();
    const images = await assembleImages(layout, await request());
    expect(images.map(({ ref }) => ref).toSorted()).toEqual(Object.values(REFS).toSorted());

    const apiserver = await image(layout, REFS['kube-apiserver']);
    expect(apiserver.config.config).toMatchObject({ Entrypoint: ['/usr/local/bin/kube-apiserver'] });
    expect(apiserver.files.get('usr/local/bin/kube-apiserver')).toBe('755 0 program kube-apiserver');
    expect(apiserver.files.get('etc/ssl/certs/ca-certificates.crt')).toBe('644 0 certificates\n');
    expect(apiserver.files.get('tmp')).toBe('1777 0 ');

    const coredns = await image(layout, REFS.coredns);
    expect(coredns.config.config).toMatchObject({ Entrypoint: ['/coredns'], User: '65532:65532' });

    const pause = await image(layout, REFS.pause);
    expect([...pause.files.keys()]).toEqual(['pause']);

    const proxy = await image(layout, REFS['kube-proxy']);
    expect(proxy.files.get('usr/sbin/nft')).toBe('644 0 nft');
    expect(proxy.files.get('usr/lib/x86_64-linux-gnu/libc.so.6')).toBe('644 0 libc');
    expect(proxy.files.get('usr/sbin/iptables')).toBe('777 0 xtables-nft-multi');
    expect(proxy.files.get('lib64')).toBe('777 0 usr/lib64');
    expect(proxy.files.has('usr/share/man/man8/nft.8')).toBe(false);
  });

  it('let CoreDNS bind its port as an ordinary user', async () => {
    const layout = await scratchLayout();
    await assembleImages(layout, await request());
    const { manifest } = await image(layout, REFS.coredns);
    const capabilities: string[] = [];
    for await (const entry of readLayer(layout, manifest.layers.at(-1)!)) capabilities.push(...Object.keys(entry.xattrs));
    expect(capabilities).toEqual(['security.capability']);
  });

  it('hold a layer that several share once', async () => {
    const layout = await scratchLayout();
    await assembleImages(layout, await request());
    const digests = new Set<string>();
    for (const { descriptor } of await listManifests(layout)) {
      digests.add(descriptor.digest);
      const manifest = JSON.parse((await readBlob(layout, descriptor)).toString()) as Manifest;
      for (const blob of [manifest.config, ...manifest.layers]) digests.add(blob.digest);
    }
    // Seven manifests, seven configs, seven programs, the base and kube-proxy's root.
    expect(digests.size).toBe(7 + 7 + 7 + 2);
    expect(await readdir(join(layout.path, 'blobs/sha256'))).toHaveLength(digests.size);
  });

  it('are the same bytes from the same inputs', async () => {
    const [first, second] = [await scratchLayout(), await createLayout(join(scratchFolder(), 'other'), layoutTools)];
    expect(await assembleImages(first, await request())).toEqual(await assembleImages(second, await request()));
  });

  it('lack etcdctl where it was not built, and nothing else', async () => {
    const complete = await request();
    const layout = await scratchLayout();
    await assembleImages(layout, { ...complete, programs: new Map([...complete.programs].filter(([name]) => name !== 'etcdctl')) });
    expect((await image(layout, REFS.etcd)).files.has('usr/local/bin/etcdctl')).toBe(false);
    const without = new Map([...complete.programs].filter(([name]) => name !== 'etcd'));
    await expect(assembleImages(await scratchLayout(), { ...complete, programs: without })).rejects.toMatchObject({ code: 'no-program' });
  });
});
