import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { testLayout, writeImage } from '../fixtures/image-layout.ts';
import { goodNode } from '../fixtures/node-tree.ts';
import { place } from './place.ts';

/* Disks that are asked for wrongly: refused before anything is made. */

describe('flags of disk build', () => {
  test.each([
    { args: ['--format', 'vmdk'], message: /^--format: / },
    { args: ['--size', 'much'], message: /^--size: "much" is not a size/ },
    { args: ['--converter', 'osbuild'], message: /^--converter: / },
    { args: ['--filesystem', 'btrfs'], message: /^--filesystem: / },
    { args: ['--karg', 'a b'], message: /^--karg: "a b" cannot be a kernel argument/ },
    { args: ['--karg', 'quiet', '--karg', 'ä=ö'], message: /^--karg: "ä=ö" cannot be a kernel argument/ },
    { args: ['--karg', 'root=/dev/sda'], message: /^--karg: "root=" is set by the disk itself/ },
  ])('$args', async ({ args, message }) => {
    const here = await place();
    const error = await here.refused('disk', 'build', 'localhost/node:1', ...args);
    expect(error).toMatchObject({ code: 'bad-flag', exitCode: 2 });
    expect(error.message).toMatch(message);
    expect(await readdir(here.path)).toEqual([]);
  });

  test('an image or what to build has to be named, and not both', async () => {
    const here = await place();
    expect(await here.refused('disk', 'build')).toMatchObject({ code: 'missing-image', exitCode: 2 });
    expect(await here.refused('disk', 'build', 'x', '--k8s', '1.31')).toMatchObject({ code: 'two-images', exitCode: 2 });
  });

  test('a key that is not there, and one that is private', async () => {
    const here = await place({ id: '-----BEGIN OPENSSH PRIVATE KEY-----\n' });
    const build = ['disk', 'build', 'localhost/node:1', '--ssh-key'];
    expect(await here.refused(...build, 'gone.pub')).toMatchObject({ code: 'ssh-key-missing', exitCode: 5 });
    expect(await here.refused(...build, 'id')).toMatchObject({ code: 'not-a-public-key', exitCode: 2 });
  });

  test('a place for the disk that cannot be one', async () => {
    const here = await place({ 'there.qcow2': 'mine' });
    const build = ['disk', 'build', 'localhost/node:1', '--output'];
    expect(await here.refused(...build, 'there.qcow2')).toMatchObject({ code: 'file-exists', exitCode: 5 });
    expect(await here.refused(...build, 'gone/node.qcow2')).toMatchObject({ code: 'folder-missing', exitCode: 5 });
    expect(await here.refused(...build, '/proc/node.qcow2')).toMatchObject({ code: 'folder-read-only', exitCode: 2 });
  });
});

test('an engine that no converter can be in', async () => {
  const here = await place();
  const tree = goodNode();
  tree.config = { ...tree.config, architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' };
  await writeImage(await testLayout(here.path), tree, 'localhost/node:1');
  const build = ['disk', 'build', 'layout', '--offline', '--converter', 'bootc-image-builder', '--engine'];
  expect(await here.refused(...build, 'embedded')).toMatchObject({ code: 'converter-user-namespace', exitCode: 3 });
  expect(await here.refused(...build, join(here.path, 'gone.sock'))).toMatchObject({ code: 'engine-unreachable', exitCode: 3 });
});

describe('images that no disk can be made of', () => {
  test('one that is not in the store', async () => {
    const here = await place();
    expect(await here.refused('disk', 'build', 'localhost/gone:1', '--offline')).toMatchObject({ code: 'image-not-found', exitCode: 5 });
  });

  test('a folder with one that is no bootc image, or is for another architecture', async () => {
    const here = await place();
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const layouts = [
      { code: 'not-a-bootc-image', tree: goodNode().label('containers.bootc', undefined) },
      { code: 'wrong-architecture', tree: goodNode() },
    ];
    for (const { code, tree } of layouts) {
      const folder = join(here.path, code);
      tree.config = { ...tree.config, architecture: code === 'wrong-architecture' ? 'riscv64' : architecture };
      await writeImage(await testLayout(folder), tree, 'localhost/node:1');
      const error = await here.refused('disk', 'build', join(folder, 'layout'), '--offline');
      expect(error).toMatchObject({ code, exitCode: 2 });
    }
    expect(await readdir(join(here.cache, 'artifacts')).catch(() => [])).toEqual([]);
  });
});
