import { describe, expect, it } from 'vitest';

import type { Tree, TreeNode } from '../../oci/tree.ts';
import { findKernel, imageKargs } from './kernel.ts';
import { deployableRoot } from './root.ts';
import { rootHome } from './sysroot.ts';

function treeOf(paths: readonly string[], more: readonly TreeNode[] = []): Tree {
  const nodes = paths.map((path) => nodeOf(path.replace(/\/$/, ''), path.endsWith('/') ? 'directory' : 'file'));
  const folders = [
    ...new Set(
      paths.flatMap((path) =>
        path
          .split('/')
          .slice(0, -1)
          .map((_, index, parts) => parts.slice(0, index + 1).join('/')),
      ),
    ),
  ];
  const all = [nodeOf('.', 'directory'), ...folders.map((path) => nodeOf(path, 'directory')), ...nodes, ...more];
  return { layers: [], nodes: new Map(all.map((node) => [node.path, node])) };
}

function nodeOf(path: string, type: TreeNode['type'], more: Partial<TreeNode> = {}): TreeNode {
  return { path, type, mode: 0o755, uid: 0, gid: 0, mtime: 0, size: 1, xattrs: {}, links: [path], ...more };
}

const link = (path: string, linkname: string): TreeNode => nodeOf(path, 'symlink', { linkname });

describe('the kernel of an image', () => {
  const GOOD = ['usr/lib/modules/6.1/vmlinuz', 'usr/lib/modules/6.1/initramfs.img'];

  it('is found with its initramfs', () => {
    const { release, vmlinuz, initramfs } = findKernel(treeOf(GOOD));
    expect([release, vmlinuz.path, initramfs.path]).toEqual(['6.1', ...GOOD]);
  });

  it.each<[string, readonly string[], string]>([
    ['none', ['usr/lib/modules/6.1/kernel/'], 'no-kernel'],
    ['a folder of its name', ['usr/lib/modules/6.1/vmlinuz/'], 'no-kernel'],
    ['two', [...GOOD, 'usr/lib/modules/6.2/vmlinuz'], 'several-kernels'],
    ['no initramfs', ['usr/lib/modules/6.1/vmlinuz'], 'no-initramfs'],
  ])('%s', (_what, paths, code) => {
    expect(() => findKernel(treeOf(paths))).toThrow(expect.objectContaining({ code, reason: 'failed' }));
  });

  it('two are named', () => {
    expect(() => findKernel(treeOf([...GOOD, 'usr/lib/modules/6.2/vmlinuz']))).toThrow('the image has 2 kernels: 6.1, 6.2');
  });
});

describe('kernel arguments of an image', () => {
  it('come from all files in the order of their names, for their architecture', () => {
    const files = new Map([
      ['usr/lib/bootc/kargs.d/20-b.toml', 'kargs = ["b", "c=d"]'],
      ['usr/lib/bootc/kargs.d/10-a.toml', 'kargs = ["a"]\nmatch-architectures = ["x86_64"]'],
    ]);
    expect(imageKargs(files, 'amd64')).toEqual(['a', 'b', 'c=d']);
    expect(imageKargs(files, 'arm64')).toEqual(['b', 'c=d']);
  });

  it.each(['kargs = "a"', 'kargs = [', 'kargs = [1]'])('%j is told with its file', (text) => {
    expect(() => imageKargs(new Map([['usr/lib/bootc/kargs.d/x.toml', text]]), 'amd64')).toThrow(
      expect.objectContaining({
        code: 'bad-kargs-file',
        message: '/usr/lib/bootc/kargs.d/x.toml of the image is no list of kernel arguments',
      }),
    );
  });
});

describe('what is committed of an image', () => {
  it('/etc becomes /usr/etc, what belongs to the machine is left out', () => {
    const { committed, state } = deployableRoot(
      treeOf(['etc/hosts', 'usr/bin/sh', 'boot/vmlinuz', 'dev/null', 'run/lock/x', 'tmp/x', 'var/lib/dpkg/status', 'sysroot/', 'opt']),
    );
    expect([...committed.keys()]).toEqual(
      ['.', 'boot', 'dev', 'opt', 'run', 'sysroot', 'tmp', 'usr', 'usr/bin', 'usr/bin/sh', 'usr/etc', 'usr/etc/hosts', 'var'].toSorted(),
    );
    expect([...state.keys()]).toEqual(['lib', 'lib/dpkg', 'lib/dpkg/status']);
  });

  it('a file of /etc wins over one of /usr/etc', () => {
    const { committed } = deployableRoot(treeOf(['etc/a', 'usr/etc/a', 'usr/etc/b']));
    expect(committed.get('usr/etc/a')?.path).toBe('etc/a');
    expect(committed.get('usr/etc/b')?.path).toBe('usr/etc/b');
  });

  it.each(['character-device', 'block-device', 'fifo'] as const)('a %s is refused by its path', (type) => {
    expect(() => deployableRoot(treeOf(['usr/x'], [nodeOf('usr/y', type)]))).toThrow(
      expect.objectContaining({ code: 'image-not-deployable', facts: { path: '/usr/y' } }),
    );
    expect(() => deployableRoot(treeOf(['usr/x'], [nodeOf('dev/y', type)]))).not.toThrow();
  });
});

describe("root's home", () => {
  it.each(['var/roothome', '/var/roothome', '../var/roothome'])('is where the link %s leads', (target) => {
    expect(rootHome(treeOf([], [link('root', target)]))).toBe('roothome');
  });

  it.each([treeOf(['root/']), treeOf([]), treeOf([], [link('root', 'home/root')])])('cannot be written to elsewhere', (tree) => {
    expect(() => rootHome(tree)).toThrow(expect.objectContaining({ code: 'root-home-read-only' }));
  });
});
