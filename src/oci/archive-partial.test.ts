import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { tarStreamTar } from '../host/adapters/tar-stream-tar.ts';
import { layoutTools, scratchFolder, scratchLayout } from '../../test/fixtures/layouts.ts';
import { smallImage } from '../../test/fixtures/small-image.ts';
import { loadArchive } from './archive-load.ts';
import { lackingBlobs, partialArchive } from './archive-partial.ts';
import { blobPath } from './blobs.ts';

const NAME = 'example.org/greeter:1';

async function twoLayers(more = Buffer.from('more')) {
  const { layout, image } = await smallImage(scratchFolder(), { name: NAME, greeting: 'hello', more });
  const [lower, upper] = image.manifest.layers;
  if (lower === undefined || upper === undefined) throw new Error('it has two layers');
  return { named: { layout, descriptor: image.descriptor, name: NAME }, image, lower, upper };
}

async function paths(archive: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found: string[] = [];
  for await (const { path, type } of tarStreamTar.read(archive as never)) if (type === 'file') found.push(path);
  return found;
}

test('a whole one is what any reader of archives takes', async () => {
  const { named, image } = await twoLayers();
  const to = await scratchLayout();
  expect(await loadArchive(to, partialArchive(layoutTools.tar, [named], new Set()))).toEqual([
    { descriptor: image.descriptor, refs: [NAME], indexes: [] },
  ]);
});

test('layers that the reader has are left out, manifest and config never', async () => {
  const { named, image, lower, upper } = await twoLayers();
  const has = new Set([lower.digest, image.manifest.config.digest, image.descriptor.digest]);
  const sent = (await lackingBlobs([named], has)).map(({ digest }) => digest);
  expect(sent).toEqual([image.descriptor.digest, image.manifest.config.digest, upper.digest]);
  expect(await paths(partialArchive(layoutTools.tar, [named], has))).toEqual([
    'oci-layout',
    'index.json',
    ...sent.map((digest) => digest.replace('sha256:', 'blobs/sha256/')),
  ]);
});

test('what two images share goes once', async () => {
  const { named, image } = await twoLayers();
  const again = { ...named, name: 'example.org/greeter:again' };
  expect(await lackingBlobs([named, again], new Set())).toHaveLength(2 + image.manifest.layers.length);
});

test('a blob that is not what its digest says fails the archive', async () => {
  const { named, upper } = await twoLayers();
  await writeFile(blobPath(named.layout, upper.digest), Buffer.alloc(upper.size, 'x'));
  await expect(paths(partialArchive(layoutTools.tar, [named], new Set()))).rejects.toMatchObject({
    code: 'digest-mismatch',
    message: expect.stringContaining(upper.digest) as string,
  });
});

test('an archive that was cut short names the blob it ends in', async () => {
  const { named, upper } = await twoLayers(randomBytes(1_000_000));
  const folder = scratchFolder();
  const whole = [];
  for await (const chunk of partialArchive(layoutTools.tar, [named], new Set())) whole.push(chunk as Buffer);
  const bytes = Buffer.concat(whole);
  await writeFile(`${folder}/cut.tar`, bytes.subarray(0, bytes.length - 500_000));
  await expect(loadArchive(await scratchLayout(), createReadStream(`${folder}/cut.tar`))).rejects.toMatchObject({
    code: 'tar-damaged',
    message: expect.stringContaining(upper.digest) as string,
  });
});
