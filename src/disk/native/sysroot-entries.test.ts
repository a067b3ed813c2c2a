import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, describe, expect, it } from 'vitest';

import { layoutTools, treeEntry } from '../../../test/fixtures/layouts.ts';
import type { TarEntryWithContent } from '../../host/tar.ts';
import { readTemplates } from '../../image/sources.ts';
import { writeLayer } from '../../oci/layer.ts';
import { createLayout } from '../../oci/layout.ts';
import { spoolTree } from '../../oci/spool.ts';
import { checksumOfFiles } from './contents.ts';
import { findKernel } from './kernel.ts';
import { deployableRoot } from './root.ts';
import { sysrootEntries } from './sysroot-entries.ts';

const templates = await readTemplates(new URL('../../../templates', import.meta.url).pathname);

const CAPABILITY = { 'security.capability': '\x01\x00\x00\x02\x00\x80' };

const IMAGE = [
  treeEntry('etc/hosts', '127.0.0.1 localhost\n'),
  treeEntry('etc/shadow', 'root:*:1::::::\n', { mode: 0o640, gid: 42 }),
  treeEntry('etc/mtab', '', { type: 'symlink', linkname: '../proc/self/mounts' }),
  treeEntry('ostree', '', { type: 'symlink', linkname: 'sysroot/ostree' }),
  treeEntry('sysroot/'),
  treeEntry('usr/bin/ping', 'ping', { mode: 0o755, xattrs: CAPABILITY }),
  treeEntry('usr/bin/perl', 'perl', { mode: 0o755 }),
  treeEntry('usr/bin/perl5', '', { type: 'hardlink', linkname: 'usr/bin/perl' }),
  treeEntry('usr/share/perl-copy', 'perl', { mode: 0o755 }),
  treeEntry('usr/share/empty'),
  treeEntry('usr/lib/modules/6.1/vmlinuz', 'kernel'),
  treeEntry('usr/lib/modules/6.1/initramfs.img', 'initramfs'),
  treeEntry('usr/share/large', 'x'.repeat(9 * 2 ** 20)),
  treeEntry('var/lib/thing/state', 'state', { uid: 7 }),
  treeEntry('var/run', '', { type: 'symlink', linkname: '../run' }),
];

async function entries(folder: string): Promise<{ readonly all: readonly TarEntryWithContent[]; readonly deployment: string }> {
  const layout = await createLayout(join(folder, 'layout'), layoutTools);
  await mkdir(join(folder, 'spool'));
  const { descriptor } = await writeLayer(layout, IMAGE, { compression: 'zstd', mtime: 2_000_000_000 });
  const spooled = await spoolTree(layout, [descriptor], join(folder, 'spool'));
  const kernel = findKernel(spooled.tree);
  let deployment = '';
  const made = sysrootEntries(
    {
      root: deployableRoot(spooled.tree),
      spooled,
      kernel,
      bootChecksum: checksumOfFiles(spooled, [kernel.vmlinuz, kernel.initramfs]),
      title: 'Test',
      options: 'quiet',
      created: 1_700_000_000,
      commit: { subject: 'a node', metadata: {} },
      templates,
      state: new Map([
        ['roothome', { mode: 0o700 }],
        ['roothome/key', { mode: 0o600, text: 'key\n' }],
      ]),
    },
    (path) => (deployment = path),
  );
  return { all: [...made], deployment };
}

describe('the file system of a disk', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-test-'));
  afterAll(() => rm(folder, { recursive: true }));
  const { all, deployment } = await entries(folder);
  const at = (path: string): TarEntryWithContent => {
    const entry = all.find((one) => one.path === path);
    if (entry === undefined) throw new Error(`nothing at ${path}`);
    return entry;
  };

  it('has every path once, and nothing before what it needs', () => {
    const seen = new Set(['.']);
    for (const { path, type, linkname } of all) {
      expect(seen.has(path), path).toBe(false);
      expect(seen.has(posix.dirname(path)), path).toBe(true);
      if (type === 'hardlink') expect(seen.has(linkname ?? ''), path).toBe(true);
      seen.add(path);
    }
  });

  it('equal files are one object, whatever their names', () => {
    const targets = ['usr/bin/perl', 'usr/bin/perl5', 'usr/share/perl-copy'].map((path) => at(`${deployment}/${path}`).linkname);
    expect(new Set(targets).size).toBe(1);
    expect(at(targets[0] ?? '')).toMatchObject({ type: 'file', size: 4, mode: 0o755, mtime: 0 });
  });

  it('a link has the attributes of its object: whoever reads the tar takes the last for the file’s', () => {
    for (const entry of all.filter(({ type }) => type === 'hardlink')) {
      const { mode, uid, gid, xattrs } = at(entry.linkname ?? '');
      expect(entry).toMatchObject({ mode, uid, gid, xattrs, mtime: 0, size: 0 });
    }
    expect(at(`${deployment}/usr/bin/ping`).xattrs).toEqual(CAPABILITY);
  });

  it('/etc is a copy of the image’s own, owners and all', async () => {
    expect(at(`${deployment}/usr/etc/shadow`).type).toBe('hardlink');
    const shadow = at(`${deployment}/etc/shadow`);
    expect(shadow).toMatchObject({ type: 'file', mode: 0o640, gid: 42 });
    expect((await buffer(shadow.content())).toString()).toBe('root:*:1::::::\n');
    expect(at(`${deployment}/etc/mtab`)).toMatchObject({ type: 'symlink', linkname: '../proc/self/mounts' });
  });

  it('a file larger than what is read at once is whole', async () => {
    const { linkname, size } = at(`${deployment}/usr/share/large`);
    expect(size).toBe(0);
    expect((await buffer(at(linkname ?? '').content())).equals(Buffer.alloc(9 * 2 ** 20, 'x'))).toBe(true);
  });

  it('/var is the image’s, what OSTree makes, and the machine’s own', async () => {
    const state = 'ostree/deploy/kvci/var';
    expect(at(`${state}/lib/thing/state`)).toMatchObject({ type: 'file', uid: 7 });
    expect(at(`${state}/run`)).toMatchObject({ type: 'symlink', linkname: '../run' });
    expect(at(`${state}/tmp`)).toMatchObject({ type: 'directory', mode: 0o1777 });
    expect(at(`${state}/roothome`)).toMatchObject({ type: 'directory', mode: 0o700 });
    expect((await buffer(at(`${state}/roothome/key`).content())).toString()).toBe('key\n');
    expect(all.some(({ path }) => path.startsWith(`${deployment}/var/`))).toBe(false);
  });

  it('what is booted leads to the deployment', () => {
    const link = all.find(({ path }) => path.startsWith('ostree/boot.1.1/kvci/') && path.endsWith('/0'));
    expect(posix.join(posix.dirname(link?.path ?? ''), link?.linkname ?? '')).toBe(deployment);
    const kernel = all.find(({ path }) => path.endsWith('/vmlinuz-6.1'));
    expect(kernel?.linkname).toBe(at(`${deployment}/usr/lib/modules/6.1/vmlinuz`).linkname);
  });
});
