import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

import type { TreeEntryWithContent } from '../oci/types.ts';
import { parsePackageList, replaceContents, takePackageList } from './package-list.ts';

function file(path: string, content: string): TreeEntryWithContent {
  const shared = { type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: {} } as const;
  return { ...shared, path, size: content.length, content: () => Readable.from([content]) };
}

describe('the packages of a built image', () => {
  it('are read in an order of their own, without the keys that rpm trusts', () => {
    expect(parsePackageList('zlib\t1.3-1\tx86_64\ngpg-pubkey\tabc-1\t(none)\nbind-libs\t32:9.16-1\tx86_64\n')).toEqual([
      { name: 'bind-libs', version: '32:9.16-1', architecture: 'x86_64' },
      { name: 'zlib', version: '1.3-1', architecture: 'x86_64' },
    ]);
  });

  it.each([
    ['nothing', ''],
    ['nothing but keys', 'gpg-pubkey\tabc-1\t(none)\n'],
    ['a line that is no package', 'error: cannot open Packages database\n'],
  ])('are not believed when the list has %s', (_what, list) => {
    expect(() => parsePackageList(list)).toThrow(expect.objectContaining({ code: 'package-list' }));
  });

  it('are taken out of what the build added', async () => {
    const kept = file('usr/bin/kubelet', 'elf');
    const { entries, installed } = await takePackageList([kept, file('usr/share/kvci/packages.tsv', 'bash\t5-1\tamd64\n')]);
    expect(entries).toEqual([kept]);
    expect(installed).toEqual([{ name: 'bash', version: '5-1', architecture: 'amd64' }]);
    await expect(takePackageList([kept])).rejects.toMatchObject({ code: 'package-list' });
  });
});

it('replaces contents with their size', async () => {
  const [a, b] = replaceContents([file('a', 'old'), file('b', 'same')], new Map([['a', 'größer']]));
  expect([a?.size, await text(a!.content()), await text(b!.content())]).toEqual([8, 'größer', 'same']);
});
