import { describe, expect, it } from 'vitest';

import { sha256 } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import { diskIds, layOutDisk } from './partitions.ts';

const MIB = 2 ** 20;

describe('the layout of a disk', () => {
  it('fills it, whole MiB each, with room for the second table', () => {
    const { bios, esp, root } = layOutDisk(10_000 * MIB, 700 * MIB);
    expect([bios, esp, root].map(({ offset, size }) => [offset / MIB, size / MIB])).toEqual([
      [1, 1],
      [2, 64],
      [66, 9933],
    ]);
  });

  it('needs room for the content and the tables', () => {
    const content = 700 * MIB;
    const needed = Math.ceil((66 + 700 + 256 + 1) / 0.98) * MIB;
    expect(layOutDisk(needed, content).root.size).toBe(needed - (66 + 1) * MIB);
    expect(() => layOutDisk(needed - MIB, content)).toThrow(
      expect.objectContaining({ code: 'disk-too-small', reason: 'usage', facts: { size: needed - MIB, needed } }),
    );
  });

  it.each([700, 9000, 90_000])('leaves room for the inodes of a disk with %i MiB of content', (mib) => {
    const needed = neededFor(mib * MIB);
    // mke2fs: an inode of 256 bytes for each 16 KiB.
    expect(layOutDisk(needed, mib * MIB).root.size - mib * MIB - needed / 64).toBeGreaterThan(200 * MIB);
  });
});

function neededFor(content: number): number {
  try {
    layOutDisk(0, content);
  } catch (error) {
    if (error instanceof KvciError) return Number(error.facts['needed']);
  }
  throw new Error('a disk of nothing is not refused');
}

describe('identifiers of a disk', () => {
  const ids = diskIds(sha256('a disk'));

  it('are UUIDs of version 8, all different', () => {
    const { volume, ...uuids } = ids;
    for (const uuid of Object.values(uuids)) expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(new Set(Object.values(uuids)).size).toBe(6);
    expect(volume).toMatch(/^[0-9a-f]{8}$/);
  });

  it('depend on the key alone', () => {
    expect(diskIds(sha256('a disk'))).toEqual(ids);
    expect(diskIds(sha256('another')).filesystem).not.toBe(ids.filesystem);
  });
});
