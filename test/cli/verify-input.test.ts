import { expect, test } from 'vitest';

import { place } from './place.ts';

/* What is refused before anything is booted. */

test('a disk and an image that there are not', async () => {
  const here = await place();
  expect(await here.refused('image', 'verify', 'nowhere.qcow2')).toMatchObject({ code: 'disk-not-found', exitCode: 5 });
  for (const kind of ['machine', 'container']) {
    const refusal = await here.refused('image', 'verify', 'localhost/nowhere:1', '--as', kind);
    expect(refusal).toMatchObject({ code: 'image-not-found', exitCode: 5 });
  }
});

test('nothing to verify', async () => {
  const here = await place();
  expect(await here.refused('image', 'verify')).toMatchObject({ code: 'missing-image', exitCode: 2 });
});

test('flags of a disk that is not made are refused by name', async () => {
  const here = await place({ 'node.qcow2': 'disk' });
  const refused = (...args: readonly string[]) => here.refused('image', 'verify', ...args);
  const flags = ['--size', '20G', '--karg', 'quiet', '--converter', 'native', '--ssh-key', 'id.pub'];
  const disk = await refused('node.qcow2', ...flags);
  expect(disk).toMatchObject({ code: 'flag-without-disk', exitCode: 2 });
  expect(disk.message).toBe('--converter, --size, --karg, --ssh-key: node.qcow2 is a disk already, and no disk is made');
  const container = await refused('localhost/node:1', '--as', 'container', '--filesystem', 'xfs');
  expect(container).toMatchObject({ code: 'flag-without-disk', exitCode: 2 });
  expect(container.message).toMatch(/^--filesystem: containers have no disk/);
});

test('a report that cannot be written is refused before anything is booted', async () => {
  const here = await place({ 'node.qcow2': 'disk' });
  const refused = (...args: readonly string[]) => here.refused('image', 'verify', ...args);
  expect(await refused('node.qcow2', '--report', 'gone/x.json')).toMatchObject({ code: 'folder-missing', exitCode: 5 });
  expect(await refused('node.qcow2', '--report', '/proc/x.json')).toMatchObject({ code: 'folder-read-only', exitCode: 2 });
  // Beside the disk, of which nothing but the folder is looked at.
  expect(await refused('/proc/version')).toMatchObject({ code: 'folder-read-only', exitCode: 2 });
});

test('a report that would replace what is no report', async () => {
  const here = await place({ 'node.qcow2': 'disk' });
  const refused = (...args: readonly string[]) => here.refused('image', 'verify', ...args);
  expect(await refused('node.qcow2', '--report', 'node.qcow2')).toMatchObject({ code: 'not-a-file', exitCode: 2 });
  expect(await refused('node.qcow2', '--report', '.')).toMatchObject({ code: 'not-a-file', exitCode: 2 });
});

test('a file of expectations that is none', async () => {
  const here = await place({ 'bad.yaml': 'sysctl: {}\n', 'typo.yaml': 'skip:\n  slow-dcp: not here\n' });
  const refused = (file: string) => here.refused('image', 'verify', 'x', '--facts', file);
  expect(await refused('nowhere.yaml')).toMatchObject({ code: 'facts-not-found', exitCode: 5 });
  expect(await refused('bad.yaml')).toMatchObject({ code: 'config-invalid', exitCode: 2 });
  expect(await refused('typo.yaml')).toMatchObject({ code: 'facts-invalid', exitCode: 2 });
});
