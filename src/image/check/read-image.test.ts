import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { layerFile, testLayout, writeImage } from '../../../test/fixtures/image-layout.ts';
import { goodNode } from '../../../test/fixtures/node-tree.ts';
import { putManifest } from '../../oci/manifests.ts';
import { MEDIA_TYPES } from '../../oci/types.ts';
import { diffImages } from '../diff.ts';
import { inspectImage } from '../inspect.ts';
import { checkTree } from './check.ts';
import { readImage } from './read-image.ts';
import { FACT_GROUPS } from './types.ts';

const scratch = mkdtempSync(join(tmpdir(), 'kvci-image-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const layout = await testLayout(scratch);
const good = await writeImage(layout, goodNode(), 'good');

describe('an image in an OCI layout', () => {
  it('is checked in one pass over its layers', async () => {
    const report = await checkTree(await readImage(layout, good, 'amd64'), FACT_GROUPS);
    expect(report.facts.filter(({ status }) => status === 'failed')).toEqual([]);
    expect(report.sizes.layers).toHaveLength(1);
    expect(report.sizes.largest[0]?.size).toBeGreaterThan(0);
    expect(report.sizes.unpacked).toBe(report.sizes.layers[0]?.unpacked);
  });

  it('is seen with its whiteouts and with what higher layers replace', async () => {
    const key = `-----BEGIN PRIVATE KEY-----\n${'A'.repeat(64)}\n`;
    const changed = await writeImage(layout, goodNode(), 'changed', [
      [layerFile('usr/bin/.wh.kubectl'), layerFile('etc/hostname', 'build-host'), layerFile('usr/share/id', key)],
      [layerFile('etc/.wh.hostname'), layerFile('etc/machine-id', 'abc'), layerFile('boot/vmlinuz', 'x')],
    ]);
    const report = await checkTree(await readImage(layout, changed, 'amd64'));
    expect(report.facts.filter(({ status }) => status === 'failed').map(({ id }) => id)).toEqual([
      'boot-empty',
      'machine-id',
      'private-keys',
      'kubernetes-binaries',
    ]);
  });

  it('is found in an index by its architecture', async () => {
    const platform = { os: 'linux', architecture: 'amd64' };
    const index = await putManifest(layout, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: [
        { ...good, platform },
        { ...good, platform: { ...platform, architecture: 's390x' } },
      ],
    });
    expect((await readImage(layout, index, 'amd64')).descriptor.digest).toBe(good.digest);
    await expect(readImage(layout, index, 'arm64')).rejects.toMatchObject({
      code: 'platform-missing',
      hint: 'It has linux/amd64, linux/s390x.',
    });
  });

  it('is inspected: labels, sizes and the documents in it', async () => {
    const inspection = await inspectImage(layout, good, 'amd64');
    expect(inspection).toMatchObject({
      digest: good.digest,
      platform: 'linux/amd64',
      labels: { 'io.kvci.kubernetes.version': '1.31.0' },
      sbom: { bomFormat: 'CycloneDX' },
      provenance: { predicateType: 'https://slsa.dev/provenance/v1' },
    });
    expect(JSON.parse(JSON.stringify(inspection))).toEqual(inspection);
  });

  it('differs from another in labels, components and files', async () => {
    const sbom = (version: string): string =>
      JSON.stringify({
        bomFormat: 'CycloneDX',
        components: [{ name: 'bash', version, purl: `pkg:deb/debian/bash@${version}?arch=amd64` }],
      });
    const [a, b] = await Promise.all([
      writeImage(layout, goodNode().file('usr/share/kvci/sbom.cdx.json', sbom('1')), 'a'),
      writeImage(
        layout,
        goodNode()
          .file('usr/share/kvci/sbom.cdx.json', sbom('2'))
          .label('team', 'virt')
          .file('etc/new', 'new')
          .remove('etc/ssh/sshd_config')
          .chmod('usr/bin/kubectl', 0o700),
        'b',
      ),
    ]);
    const read = async (one: typeof a) => readImage(layout, one, 'amd64');
    expect(diffImages(await read(a), await read(b))).toEqual({
      same: false,
      before: a.digest,
      after: b.digest,
      labels: [{ name: 'team', before: undefined, after: 'virt' }],
      components: [{ name: 'pkg:deb/debian/bash', before: '1', after: '2' }],
      files: {
        added: [{ path: '/etc/new', size: 3 }],
        removed: [{ path: '/etc/ssh/sshd_config', size: expect.any(Number) as number }],
        changed: [
          { path: '/usr/bin/kubectl', aspects: ['mode'], size: 64, sizeBefore: 64 },
          {
            path: '/usr/share/kvci/sbom.cdx.json',
            aspects: ['content'],
            size: expect.any(Number) as number,
            sizeBefore: expect.any(Number) as number,
          },
        ],
      },
      growth: expect.any(Number) as number,
    });
    expect(diffImages(await read(a), await read(a))).toMatchObject({ same: true, labels: [], components: [], growth: 0 });
  });
});
