import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

import { undiciHttp } from '../host/adapters/undici-http.ts';
import { systemClock } from '../host/clock.ts';
import { fileLocks } from '../host/locks.ts';
import { createArtifactStore } from '../host/store/artifact-store.ts';
import type { ContainerEngine } from '../host/types.ts';
import { saveArchive } from '../oci/archive-save.ts';
import { putBlob } from '../oci/blobs.ts';
import { copyImage } from '../oci/copy.ts';
import { createLayout, type ImageLayout } from '../oci/layout.ts';
import { putManifest, removeManifest } from '../oci/manifests.ts';
import { parseReference } from '../oci/reference.ts';
import { pushImage } from '../oci/registry-transfer.ts';
import { RegistryClient } from '../oci/registry.ts';
import { type Descriptor, MEDIA_TYPES } from '../oci/types.ts';
import { layoutTools, scratchFolder } from '../../test/fixtures/layouts.ts';
import { registryServer } from '../../test/fixtures/registry-server.ts';
import { smallImage, type SmallImage } from '../../test/fixtures/small-image.ts';
import { acquireImages, type AcquirePorts } from './acquire.ts';

const REQUEST = { engine: { kind: 'auto' }, architecture: 'amd64' } as const;
const run = { events: () => undefined, clock: systemClock, signal: new AbortController().signal };

async function place(engine?: Pick<ContainerEngine, 'imageId' | 'save'>) {
  const folder = scratchFolder();
  const client = new RegistryClient({ http: undiciHttp({ offline: false }), credentials: () => Promise.resolve(undefined) });
  const layout = await createLayout(join(folder, 'images'), layoutTools);
  const ports: AcquirePorts = {
    layout: () => Promise.resolve(layout),
    layoutIn: (path) => createLayout(path, layoutTools),
    store: createArtifactStore({ directories: { cache: folder }, locks: fileLocks(systemClock), clock: systemClock }),
    registry: () => Promise.resolve(client),
    runningEngine: () => Promise.resolve(engine === undefined ? undefined : engineOf(engine)),
  };
  const acquire = (word: string, cwd = folder) => acquireImages(word, { ...REQUEST, cwd }, ports, run);
  return { folder, layout, client, acquire };
}

/** What is looked at of an engine. */
function engineOf(parts: Pick<ContainerEngine, 'imageId' | 'save'>) {
  const info = { name: 'docker', version: '28', rootless: false, origin: 'test', architecture: 'amd64' } as const;
  return { ...parts, info: () => Promise.resolve(info), [Symbol.asyncDispose]: () => Promise.resolve() };
}

const digestOfImage = ({ image }: SmallImage): string => image.descriptor.digest;

test('the store comes first, under any spelling of the name', async () => {
  const here = await place({ imageId: () => Promise.reject(new Error('asked')), save: () => Promise.reject(new Error('asked')) });
  const small = await smallImage(here.folder, { name: 'docker.io/library/greeter:latest', greeting: 'hello', architecture: 'amd64' });
  await copyImage(small.layout, here.layout, small.image.descriptor, ['docker.io/library/greeter:latest']);
  const [found, ...others] = await here.acquire('greeter');
  expect(others).toEqual([]);
  expect(found).toMatchObject({ name: 'docker.io/library/greeter:latest', from: 'store', architecture: 'amd64' });
  expect(found?.descriptor.digest).toBe(digestOfImage(small));
});

test('then an engine, from which it is saved once', async () => {
  let saved = 0;
  const small = await smallImage(scratchFolder(), { name: 'localhost/greeter:1', greeting: 'hello' });
  const here = await place({
    imageId: (tag) => Promise.resolve(tag === 'localhost/greeter:1' ? 'sha256:id' : undefined),
    save: () => {
      saved += 1;
      return Promise.resolve(saveArchive(small.layout, small.image.descriptor, { refs: ['localhost/greeter:1'], layers: 'none' }));
    },
  });
  const first = await here.acquire('localhost/greeter:1');
  expect(first).toMatchObject([{ name: 'localhost/greeter:1', from: 'engine' }]);
  expect((await here.acquire('localhost/greeter:1'))[0]?.descriptor).toEqual(first[0]?.descriptor);
  expect(saved).toBe(1);
});

test('what an engine gives under a digest has that digest, or comes from its registry', async () => {
  const small = await smallImage(scratchFolder(), { name: 'localhost/x:1', greeting: 'hello', architecture: 'amd64' });
  const other = await smallImage(scratchFolder(), { name: 'localhost/x:2', greeting: 'anew', architecture: 'amd64' });
  const server = await registryServer();
  let saved = small;
  const here = await place({
    imageId: () => Promise.resolve(digestOfImage(saved)),
    save: () => Promise.resolve(saveArchive(saved.layout, saved.image.descriptor, { refs: ['localhost/x:1'], layers: 'as-is' })),
  });
  const pinned = `${server.host}/org/greeter@${digestOfImage(small)}`;
  expect(await here.acquire(pinned)).toMatchObject([{ from: 'engine', descriptor: { digest: digestOfImage(small) } }]);
  saved = other;
  await pushImage(here.client, small.layout, small.image.descriptor, parseReference(`${server.host}/org/greeter:1`));
  expect(await here.acquire(pinned)).toMatchObject([{ from: 'registry', descriptor: { digest: digestOfImage(small) } }]);
});

test('of an archive or an engine with several platforms, the wanted one', async () => {
  const folder = scratchFolder();
  const name = 'docker.io/library/greeter:1';
  const images = [];
  for (const architecture of ['s390x', 'amd64', 'arm64']) {
    const file = join(folder, architecture);
    await mkdir(file);
    images.push(await smallImage(file, { name, greeting: architecture, architecture }));
  }
  const layout = await createLayout(join(folder, 'all'), layoutTools);
  for (const one of images) await copyImage(one.layout, layout, one.image.descriptor);
  const others = images.map(({ image }) => ({ ...image.descriptor, platform: { os: 'linux', architecture: image.config.architecture } }));
  const windows = { ...(await otherSystem(layout, images[1]?.image)), platform: { os: 'windows', architecture: 'amd64' } };
  const manifests = [windows, ...others, windows];
  const index = await putManifest(layout, { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests }, [name]);
  for (const { digest } of manifests) await removeManifest(layout, digest);
  const archive = join(folder, 'all.tar');
  await promisify(execFile)('tar', ['-C', layout.path, '-cf', archive, 'oci-layout', 'index.json', 'blobs']);
  const here = await place({ imageId: () => Promise.resolve('sha256:id'), save: () => Promise.resolve(createReadStream(archive)) });
  const fits = { name, descriptor: { digest: images[1]?.image.descriptor.digest } };
  for (const word of [archive, 'greeter:1']) expect(await here.acquire(word)).toMatchObject([fits]);
  // By the index that it stands in, too.
  const pinned = `docker.io/library/greeter@${index.digest}`;
  expect(await here.acquire(pinned)).toMatchObject([{ ...fits, name: pinned, from: 'engine' }]);
});

/** The manifest of an image as it would be for Windows. */
async function otherSystem(layout: ImageLayout, image?: SmallImage['image']): Promise<Descriptor> {
  if (image === undefined) throw new Error('no image');
  const config = { ...image.manifest.config, ...(await putBlob(layout, Buffer.from(JSON.stringify({ ...image.config, os: 'windows' })))) };
  return putManifest(layout, { ...image.manifest, config });
}

test('then its registry, from which blobs come once', async () => {
  const here = await place({ imageId: () => Promise.resolve(undefined), save: () => Promise.reject(new Error('it has none')) });
  const server = await registryServer();
  const ref = `${server.host}/org/greeter:1`;
  const small = await smallImage(here.folder, { name: 'localhost/x:1', greeting: 'hello', architecture: 'amd64' });
  await pushImage(here.client, small.layout, small.image.descriptor, parseReference(ref));
  const blobs = () => server.log.filter((line) => line.startsWith('GET ') && line.includes('/blobs/')).length;
  expect(await here.acquire(ref)).toMatchObject([{ name: ref, from: 'registry', descriptor: { digest: digestOfImage(small) } }]);
  const before = blobs();
  expect(before).toBeGreaterThan(0);
  const pinned = `${server.host}/org/greeter@${digestOfImage(small)}`;
  expect(await here.acquire(pinned)).toMatchObject([{ name: pinned, from: 'registry' }]);
  expect(blobs()).toBe(before);
});

test('an archive gives its images by the names in it', async () => {
  const here = await place();
  const small = await smallImage(here.folder, { name: 'greeter:1', greeting: 'hello' });
  expect(await here.acquire(small.archive)).toMatchObject([{ name: 'docker.io/library/greeter:1', from: 'archive' }]);
});

test.each([
  { word: './none.tar', code: 'archive-missing', exitCode: 5 },
  { word: 'none.tar.gz', code: 'archive-missing', exitCode: 5 },
  { word: 'Greeter:1', code: 'bad-reference', exitCode: 2 },
  { word: 'localhost/none:1', code: 'image-not-found', exitCode: 5 },
  { word: 'text', code: 'tar-damaged', exitCode: 1 },
  { word: 'nameless', code: 'image-unnamed', exitCode: 2 },
  { word: './folder', code: 'not-a-layout', exitCode: 5 },
])('$word is refused: $code', async ({ word, code, exitCode }) => {
  const here = await place();
  await writeFile(join(here.folder, 'text'), '');
  const { layout, image } = await smallImage(here.folder, { name: 'greeter:1', greeting: 'hello' });
  const archive = saveArchive(layout, image.descriptor, { refs: [], layers: 'as-is' });
  await writeFile(join(here.folder, 'nameless'), archive);
  await createLayout(join(here.folder, 'folder', 'deeper'), layoutTools);
  await expect(here.acquire(word)).rejects.toMatchObject({ code, exitCode });
});

test('a registry that has it not, says so beside the other places', async () => {
  const here = await place();
  const server = await registryServer();
  await expect(here.acquire(`${server.host}/org/none:1`)).rejects.toMatchObject({
    code: 'image-not-found',
    exitCode: 5,
    message: expect.stringMatching(/neither in kvci's store nor in an engine that runs here.*has no/) as string,
  });
});
