import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';

import { testLayout, writeImage } from '../../test/fixtures/image-layout.ts';
import { scratchFolder } from '../../test/fixtures/layouts.ts';
import { goodNode } from '../../test/fixtures/node-tree.ts';
import { KvciError } from '../core/errors.ts';
import type { Event } from '../core/events.ts';
import { systemClock } from '../host/clock.ts';
import { fileLocks } from '../host/locks.ts';
import { createArtifactStore } from '../host/store/artifact-store.ts';
import { buildDisk, type DiskPorts, diskStep } from './build-disk.ts';
import { sourceImage } from './source.ts';
import { type ConverterName, ConverterRefusal, type DiskConverter, type DiskRequest } from './types.ts';

let cache: string;
let request: DiskRequest;
let events: Event[];
let conversions: number;

/** Writes a file that says what it was asked for. */
function writer(identity = 'one', convert?: DiskConverter['convert'], name: ConverterName = 'native'): DiskConverter {
  return {
    name,
    unfit: () => Promise.resolve(undefined),
    identity: () => Promise.resolve(identity),
    convert: async (wanted, folder, context) => {
      conversions += 1;
      if (convert !== undefined) return convert(wanted, folder, context);
      await writeFile(join(folder, 'disk.qcow2'), wanted.kargs.join(' '));
      return { file: 'disk.qcow2', directBoot: { kernel: 'vmlinuz', initramfs: 'initramfs.img', arguments: 'quiet' } };
    },
  };
}

function ports(...converters: readonly DiskConverter[]): DiskPorts {
  return { store: createArtifactStore({ directories: { cache }, locks: fileLocks(systemClock), clock: systemClock }), converters };
}

const run = { events: (event: Event) => void events.push(event), clock: systemClock, signal: new AbortController().signal };

beforeEach(async () => {
  cache = scratchFolder();
  events = [];
  conversions = 0;
  const layout = await testLayout(scratchFolder());
  const descriptor = await writeImage(layout, goodNode(), 'localhost/node:1');
  const source = await sourceImage({ layout, descriptor }, 'localhost/node:1', 'amd64');
  request = { source, format: 'qcow2', size: 2 ** 30, filesystem: 'ext4', kargs: ['a'], sshKeys: [] };
});

describe('a disk', () => {
  it('is made once and found again', async () => {
    const first = await buildDisk('native', request, ports(writer()), run);
    expect(first.reused).toBe(false);
    expect(await readFile(first.disk.path, 'utf8')).toBe('a');
    const again = await buildDisk('native', request, ports(writer()), run);
    expect(again).toEqual({ disk: first.disk, reused: true });
    expect(conversions).toBe(1);
    expect(first.disk.directBoot).toEqual({
      kernel: join(first.disk.path, '../vmlinuz'),
      initramfs: join(first.disk.path, '../initramfs.img'),
      arguments: 'quiet',
    });
  });

  it.each<[string, Partial<DiskRequest>]>([
    ['format', { format: 'raw' }],
    ['size', { size: 2 ** 31 }],
    ['file system', { filesystem: 'xfs' }],
    ['kernel arguments', { kargs: ['b'] }],
    ['keys', { sshKeys: ['ssh-ed25519 AAAA'] }],
  ])('of another %s is another', async (_what, change) => {
    const one = await buildDisk('native', request, ports(writer()), run);
    const other = await buildDisk('native', { ...request, ...change }, ports(writer()), run);
    expect(other.disk.key).not.toBe(one.disk.key);
  });

  it('made by another version of the converter is another', async () => {
    const one = await buildDisk('native', request, ports(writer('one')), run);
    const other = await buildDisk('native', request, ports(writer('two')), run);
    expect(other.disk.key).not.toBe(one.disk.key);
    expect(conversions).toBe(2);
  });

  it('asked for twice at once is made once', async () => {
    const both = await Promise.all([1, 2].map(() => buildDisk('native', request, ports(writer()), run)));
    expect(conversions).toBe(1);
    expect(both[0]?.disk).toEqual(both[1]?.disk);
  });

  it('whose conversion fails leaves nothing', async () => {
    const failing = writer('one', async (_request, folder) => {
      await mkdir(join(folder, 'half'));
      throw new KvciError('failed', 'converter-failed', 'it failed');
    });
    await expect(buildDisk('native', request, ports(failing), run)).rejects.toMatchObject({ code: 'converter-failed' });
    expect(await readdir(join(cache, 'artifacts/disk'))).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'step.end', status: 'failed' });
  });

  describe('that a converter refuses when it looks closer', () => {
    const refusing = writer('one', () =>
      Promise.reject(new ConverterRefusal(new KvciError('failed', 'image-wants-selinux', 'it has labels'))),
    );

    it('is made by the next one where nobody named one, which is told', async () => {
      const { disk } = await buildDisk('auto', request, ports(refusing, writer('one', undefined, 'image-builder')), run);
      expect(disk.converter).toBe('image-builder');
      const told = events.flatMap((event) => (event.type === 'problem' ? [event.message] : []));
      expect(told.at(-1)).toBe('converter: image-builder, because native cannot: it has labels');
      expect(await readdir(join(cache, 'artifacts/disk'))).toHaveLength(1);
    });

    it('is refused where it was named, or nothing else is there', async () => {
      const next = writer('one', undefined, 'image-builder');
      await expect(buildDisk('native', request, ports(refusing, next), run)).rejects.toMatchObject({ code: 'image-wants-selinux' });
      await expect(buildDisk('auto', request, ports(refusing), run)).rejects.toMatchObject({ code: 'image-wants-selinux' });
    });
  });

  it('is planned without being made', async () => {
    const step = await diskStep('native', request, ports(writer()), run);
    expect(await step.find()).toBeUndefined();
    expect(step.title).toMatch(/^disk of image [0-9a-f]{12}, qcow2, 1\.07 GB, native$/);
    expect(conversions).toBe(0);
  });
});
