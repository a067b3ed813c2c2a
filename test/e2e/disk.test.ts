import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { glob, mkdir, mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { convertNatively, type NativeParts } from '../../src/disk/native/convert.ts';
import { planDisk } from '../../src/disk/native/plan-disk.ts';
import { sysrootEntries } from '../../src/disk/native/sysroot-entries.ts';
import { sourceImage } from '../../src/disk/source.ts';
import type { ConvertedDisk, DiskOptions, DiskRequest } from '../../src/disk/types.ts';
import { readTemplates } from '../../src/image/sources.ts';
import { blobPath } from '../../src/oci/blobs.ts';
import { readImageAt } from '../../src/oci/image.ts';
import { createLayout, type ImageLayout } from '../../src/oci/layout.ts';
import { spoolTree } from '../../src/oci/spool.ts';
import type { TreeEntryWithContent } from '../../src/oci/types.ts';
import type { Sandbox, Sandboxes } from '../../src/sandbox/types.ts';
import { bootableEntries, TEST_ARCHITECTURE, writeBootableImage } from '../fixtures/bootable-image.ts';
import { debianPrograms } from '../fixtures/debian-programs.ts';
import { layoutTools, treeEntry } from '../fixtures/layouts.ts';
import { testSandboxes } from '../fixtures/sandboxes.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

/* A small image through the native converter with all that it runs, looked at with e2fsprogs, mtools, sfdisk and ostree. */

const SIZE = 1024 * 2 ** 20;
const ROOT_OFFSET = 66 * 2 ** 20;
const ESP_OFFSET = 2 * 2 ** 20;
const { signal } = new AbortController();
const CONTEXT = { signal, output: () => undefined, progress: () => undefined };

describe('a native conversion', () => {
  let folder: string;
  let layout: ImageLayout;
  let parts: NativeParts;
  let sandbox: Sandbox;
  let made: ConvertedDisk;

  async function request(layers: readonly (readonly TreeEntryWithContent[])[], options: Partial<DiskOptions> = {}): Promise<DiskRequest> {
    const descriptor = await writeBootableImage(layout, layers, 'localhost/test:1');
    const source = await sourceImage({ layout, descriptor }, 'localhost/test:1', TEST_ARCHITECTURE);
    return { format: 'raw', size: SIZE, filesystem: 'ext4', kargs: ['quiet'], sshKeys: ['ssh-ed25519 AAAA me'], ...options, source };
  }

  async function convert(wanted: DiskRequest, name: string): Promise<ConvertedDisk> {
    await mkdir(join(folder, name));
    return convertNatively(wanted, join(folder, name), parts, CONTEXT);
  }

  /** Sandboxes whose programs are told a time that is days later. */
  async function later(days: number): Promise<Pick<Sandboxes, 'start'>> {
    const root = await debianPrograms('libfaketime');
    const [library] = await Array.fromAsync(glob(join(root, 'usr/lib/*/faketime/libfaketime.so.1')));
    if (library === undefined) throw new Error('the package has no library');
    const env = { LD_PRELOAD: library, FAKETIME: `+${days}d`, NO_FAKE_STAT: '1' };
    const { sandboxes } = parts;
    return {
      start: async (request) => {
        const binds = [...request.binds, { host: root, inside: root, writable: false }];
        const started = await sandboxes.start({ ...request, binds });
        const told: Sandbox['run'] = (argv, options) => started.run(argv, { ...options, env: { ...options?.env, ...env } });
        return new Proxy(started, { get: (target, name) => (name === 'run' ? told : (Reflect.get(target, name) as unknown)) });
      },
    };
  }

  const run = async (...argv: [string, ...string[]]): Promise<string> => (await sandbox.run(argv, { cwd: folder })).stdout;
  const debugfs = (request: string, disk = 'made/disk.raw'): Promise<string> =>
    run('debugfs', '-R', request, `${disk}?offset=${ROOT_OFFSET}`);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-disk-'));
    layout = await createLayout(join(folder, 'layout'), layoutTools);
    const tools = await toolsTree();
    const sandboxes = testSandboxes(tools, folder);
    const templates = await readTemplates(new URL('../../templates', import.meta.url).pathname);
    parts = { sandboxes, templates, tools: () => Promise.resolve({ tree: tools, key: `sha256:${'0'.repeat(64)}` }) };
    const binds = [{ host: folder, inside: folder, writable: true }];
    sandbox = await sandboxes.start({ name: 'look', binds, network: 'private', cgroups: false, signal });
    made = await convert(await request([await bootableEntries(), [treeEntry('usr/share/empty', 'no more')]]), 'made');
  });

  afterAll(async () => {
    await sandbox[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it('leaves the disk and what boots it, and nothing else', async () => {
    expect((await readdir(join(folder, 'made'))).toSorted()).toEqual(['disk.raw', 'initramfs.img', 'vmlinuz']);
    expect(made).toMatchObject({ file: 'disk.raw', directBoot: { kernel: 'vmlinuz', initramfs: 'initramfs.img' } });
    expect(made.directBoot?.arguments).toMatch(
      /^root=UUID=[0-9a-f-]{36} rw console=ttyS0 quiet ostree=\/ostree\/boot\.1\/kvci\/[0-9a-f]{64}\/0$/,
    );
    const { size, blocks } = await stat(join(folder, 'made/disk.raw'));
    expect(size).toBe(SIZE);
    expect(blocks * 512).toBeLessThan(100 * 2 ** 20);
  });

  it('has partitions, a loader for UEFI and a file system without fault', async () => {
    expect(await run('sfdisk', '--verify', 'made/disk.raw')).toContain('No errors detected');
    expect(await run('mdir', '-b', '-i', `made/disk.raw@@${ESP_OFFSET}`, '::/EFI/BOOT')).toMatch(/BOOT(X64|AA64)\.EFI/);
    await run('dd', 'if=made/disk.raw', 'of=root.img', 'bs=1M', 'skip=66', 'conv=sparse', 'status=none');
    await sandbox.run(['e2fsck', '-fn', 'root.img'], { cwd: folder });
  });

  it('keeps modes, owners, attributes, links and the names of files', async () => {
    const [name] = /[0-9a-f]{64}\.0(?=\/)/.exec(await debugfs('ls -p /ostree/deploy/kvci/deploy')) ?? [];
    const deployment = `/ostree/deploy/kvci/deploy/${name ?? ''}`;
    expect(await debugfs(`stat ${deployment}`)).toMatch(/Flags: 0x80010\b/);
    expect(await debugfs(`stat ${deployment}/usr/bin/mount`)).toMatch(/Mode: {2}04755 [\s\S]*Links: 2/);
    expect(await debugfs(`stat ${deployment}/usr/bin/owned`)).toMatch(/User: {2}1234 {3}Group: {2}5678/);
    expect(await debugfs(`ea_get ${deployment}/usr/bin/ping security.capability`)).toMatch(/01 00 00 02 00 20/);
    // The object, and two names.
    expect(await debugfs(`stat ${deployment}/usr/bin/perl`)).toMatch(/Links: 3/);
    expect(await debugfs(`stat ${deployment}/etc/shadow`)).toMatch(/Mode: {2}0640 [\s\S]*Group: {4}42[\s\S]*Links: 1/);
    expect(await debugfs(`cat ${deployment}/usr/share/empty`)).toBe('no more');
    expect(await debugfs(`cat ${deployment}/usr/share/größe`)).toBe('a name that is not ASCII');
    expect(await debugfs('cat /ostree/deploy/kvci/var/roothome/.ssh/authorized_keys')).toBe('ssh-ed25519 AAAA me\n');
    expect(await debugfs('stat /ostree/deploy/kvci/var/roothome/.ssh')).toMatch(/Mode: {2}0700/);
    expect(await debugfs('cat /ostree/deploy/kvci/var/lib/thing')).toBe('state');
  });

  it('is a sysroot that ostree finds right and goes on with', async () => {
    const wanted = await request([await bootableEntries()]);
    await mkdir(join(folder, 'spool'));
    const image = await readImageAt(layout, wanted.source.image.descriptor);
    await using spooled = await spoolTree(layout, image.manifest.layers, join(folder, 'spool'));
    const entries = sysrootEntries(
      { ...planDisk(wanted, spooled), templates: parts.templates, commit: { subject: 'a test', metadata: { version: '1' } } },
      () => undefined,
    );
    await mkdir(join(folder, 'sysroot'));
    const unpack = [
      'tar',
      '--extract',
      '--xattrs',
      '--xattrs-include=*',
      '--same-owner',
      '--same-permissions',
      '--directory=sysroot',
    ] as const;
    await sandbox.run(unpack, { cwd: folder, stdin: layout.tar.write(entries) });
    expect(await run('ostree', 'fsck', '--repo=sysroot/ostree/repo')).toContain('no errors found');
    expect(await run('ostree', 'admin', 'status', '--sysroot=sysroot')).toMatch(
      /^ {2}kvci [0-9a-f]{64}\.0\n {4}Version: 1\n {4}origin refspec: kvci\/node/m,
    );
    const entry = await run('cat', 'sysroot/boot/loader/entries/ostree-1.conf');
    await run('ostree', 'admin', 'deploy', '--sysroot=sysroot', '--os=kvci', 'kvci/node');
    const config = await run('cat', 'sysroot/boot/syslinux/syslinux.cfg');
    expect(config).toMatch(/^TIMEOUT 10\n\nDEFAULT A test \(of disks\) 1 \(ostree:0\)\nLABEL /);
    expect(config.match(/^LABEL .*$/gm)).toEqual(['LABEL A test (of disks) 1 (ostree:0)', 'LABEL A test (of disks) 1 (ostree:1)']);
    expect(entry).toMatch(/^title A test \(of disks\) 1 \(ostree:0\)$/m);
    expect(config).toMatch(/APPEND root=UUID=[0-9a-f-]{36} rw console=ttyS0 quiet ostree=\/ostree\/boot\.0\//);
  });

  it('gives the same bytes again, whatever surrounds it', async () => {
    const { umask, TZ } = { umask: process.umask(0o077), TZ: process.env['TZ'] };
    process.env['TZ'] = 'Asia/Tokyo';
    try {
      await convert(await request([await bootableEntries(), [treeEntry('usr/share/empty', 'no more')]]), 'a folder of another name');
    } finally {
      process.umask(umask);
      if (TZ === undefined) delete process.env['TZ'];
      else process.env['TZ'] = TZ;
    }
    const sandboxes = await later(400);
    {
      await using look = await sandboxes.start({ name: 'later', binds: [], network: 'private', cgroups: false, signal });
      const { stdout } = await look.run(['date', '+%s']);
      expect(Number(stdout) - Date.now() / 1000).toBeGreaterThan(399 * 86_400);
    }
    await mkdir(join(folder, 'later'));
    await convertNatively(
      await request([await bootableEntries(), [treeEntry('usr/share/empty', 'no more')]]),
      join(folder, 'later'),
      { ...parts, sandboxes },
      CONTEXT,
    );
    const [one, ...others] = await Promise.all(
      ['made', 'a folder of another name', 'later'].map((name) =>
        Promise.all(['disk.raw', 'initramfs.img'].map((file) => digestOf(join(folder, name, file)))),
      ),
    );
    expect(others).toEqual([one, one]);
  });

  it('compressed, it is the same disk', async () => {
    const { file } = await convert(
      await request([await bootableEntries(), [treeEntry('usr/share/empty', 'no more')]], { format: 'qcow2' }),
      'packed',
    );
    expect(file).toBe('disk.qcow2');
    expect(await run('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', 'made/disk.raw', 'packed/disk.qcow2')).toContain(
      'Images are identical',
    );
  });

  it.each<[string, readonly TreeEntryWithContent[], Partial<DiskOptions>, string]>([
    ['two kernels', [treeEntry('usr/lib/modules/6.13/vmlinuz', 'k')], {}, 'several-kernels'],
    ['no kernel', [treeEntry('usr/lib/modules/6.12.0-test/.wh.vmlinuz')], {}, 'no-kernel'],
    ['a device', [treeEntry('usr/lib/null', '', { type: 'character-device', device: { major: 1, minor: 3 } })], {}, 'image-not-deployable'],
    ['a name of Latin 1', [treeEntry('usr/share/\udce4')], {}, 'image-not-deployable'],
    ['a SELinux policy', [treeEntry('etc/selinux/config', 'SELINUX=enforcing\nSELINUXTYPE=targeted\n')], {}, 'image-wants-selinux'],
    ['more than fits', [], { size: 300 * 2 ** 20 }, 'disk-too-small'],
  ])('of an image with %s is refused', async (name, more, options, code) => {
    await expect(convert(await request([await bootableEntries(), more], options), `refused ${name}`)).rejects.toMatchObject({ code });
    expect(await readdir(join(folder, `refused ${name}`))).toEqual([]);
  });

  it('of an image with a layer that is cut off is refused', async () => {
    const wanted = await request([await bootableEntries(), [treeEntry('usr/share/more', 'm'.repeat(100_000))]]);
    const layer = wanted.source.image.manifest.layers[1];
    const path = blobPath(layout, layer?.digest ?? `sha256:`);
    await truncate(path, (layer?.size ?? 0) - 8);
    await expect(convert(wanted, 'cut off')).rejects.toMatchObject({ name: 'KvciError' });
    expect(await readdir(join(folder, 'cut off'))).toEqual([]);
    await rm(path);
  });

  it('says where it was when it is cancelled', async () => {
    const controller = new AbortController();
    await mkdir(join(folder, 'cancelled'));
    const output = (line: string): void => {
      if (line === 'writing the disk') controller.abort();
    };
    const converting = convertNatively(await request([await bootableEntries()]), join(folder, 'cancelled'), parts, {
      ...CONTEXT,
      signal: controller.signal,
      output,
    });
    await expect(converting).rejects.toMatchObject({ code: 'cancelled' });
  });

  async function digestOf(path: string): Promise<string> {
    const hash = createHash('sha256');
    await pipeline(createReadStream(path), hash);
    return hash.digest('hex');
  }
});
