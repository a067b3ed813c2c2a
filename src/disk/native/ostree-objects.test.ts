import { describe, expect, it } from 'vitest';

import type { TreeNode } from '../../oci/tree.ts';
import { commit, dirmeta, fileHash, type Inode } from './ostree-objects.ts';
import { treeObjects } from './ostree-tree.ts';

/*
 * Checksums are what ostree 2025.2 gave for these files: `ostree commit --tree=dir=... --timestamp=@100 -b kvci/node -s subject
 * --add-metadata-string=a=b`.
 */

const FILE: Inode = { type: 'file', mode: 0o644, uid: 0, gid: 0, xattrs: {} };

function checksum(inode: Inode, content = ''): string {
  return fileHash(inode).update(content).digest('hex');
}

const CONTENTS: Readonly<Record<string, string>> = {
  'usr/etc/foo': 'a\n',
  'usr/bin/sh': 'sh\n',
  'usr/lib/os-release': 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID=13\n',
  'usr/lib/modules/6.1.0/vmlinuz': 'kernel\n',
  'usr/lib/modules/6.1.0/initramfs.img': 'initrd\n',
};
const LINKS: Readonly<Record<string, string>> = { bin: 'usr/bin', ostree: 'sysroot/ostree', 'usr/etc/l': 'foo' };
const FOLDERS = [
  ...['.', 'boot', 'sysroot', 'usr', 'usr/bin', 'usr/etc', 'usr/etc/d', 'usr/lib', 'usr/lib/modules', 'usr/lib/modules/6.1.0', 'var'],
];

const NODES = new Map<string, TreeNode>([
  ...FOLDERS.map((path) => [path, node(path, { ...FILE, type: 'directory', mode: 0o755 })] as const),
  ...Object.keys(CONTENTS).map((path) => [path, node(path, { ...FILE, mode: path === 'usr/bin/sh' ? 0o4755 : 0o644 })] as const),
  ...Object.entries(LINKS).map(([path, linkname]) => [path, node(path, { ...FILE, type: 'symlink', linkname })] as const),
]);

function node(path: string, inode: Inode): TreeNode {
  return { ...inode, path, type: inode.type, mtime: 0, size: 0, links: [path] };
}

describe("names of OSTree's objects", () => {
  it.each<[string, string, string]>([
    ['a file', checksum(FILE, 'a\n'), 'e000a47a36168c51fe11770372f3f0f4edacb46eb349d9be2aae027ea0a045f8'],
    ['setuid', checksum({ ...FILE, mode: 0o4755 }, 'sh\n'), 'f6aa194871a49aae203a18e52d7a11fec738d6e27e1934ae574f220c6e20571e'],
    [
      'a symlink, whatever its mode',
      checksum({ ...FILE, type: 'symlink', linkname: 'foo' }),
      '6fdac495d3f113da711aead3f9fa1db6a167138f883f391f87398a502f1a198a',
    ],
    [
      'a folder',
      dirmeta({ ...FILE, type: 'directory', mode: 0o755 }).checksum,
      '446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488',
    ],
  ])('%s', (_what, found, expected) => {
    expect(found).toBe(expected);
  });

  it('a tree and its commit', () => {
    const { root, objects } = treeObjects(NODES, (file) => checksum(file, CONTENTS[file.path]));
    expect(root.tree).toBe('a8c05e089a3f34f1e784621ff0fb56db5a64f9615162bd644f017c1fbd8c8a0a');
    const head = commit({ ...root, subject: 'subject', timestamp: 100, metadata: { a: 'b' }, ref: 'kvci/node' });
    expect(head.checksum).toBe('57f0ea2027e28afd110e1faf42e8a14f36588a587ed655b9a978819a18ae54f2');
    // Empty folders are one object.
    expect(objects.filter(({ kind }) => kind === 'dirtree')).toHaveLength(8);
    expect(objects.filter(({ kind }) => kind === 'dirmeta')).toHaveLength(1);
  });

  it('an attribute is part of the name', () => {
    expect(checksum({ ...FILE, xattrs: { 'security.capability': '\x01\x00\x80' } })).not.toBe(checksum(FILE));
  });
});
