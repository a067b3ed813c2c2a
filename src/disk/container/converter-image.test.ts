import { expect, it } from 'vitest';

import { type Digest, sha256 } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { EngineImage, Jobs } from '../../host/engine/jobs.ts';
import { BOOTC_IMAGE_BUILDER } from '../bootc-image-builder.ts';
import { findConverterImage, pinnedBy, pullConverterImage } from './converter-image.ts';

const NEVER = new AbortController().signal;
const ONE = sha256('one');
const TWO = sha256('two');
const [FIRST, SECOND = ''] = BOOTC_IMAGE_BUILDER.images;

/** An engine that has these images by name. */
function jobsWith(images: Readonly<Record<string, Partial<EngineImage>>>): Jobs {
  return {
    image: (name: string) =>
      Promise.resolve(
        images[name] === undefined ? undefined : { id: 'sha256:0', digests: [], architecture: 'amd64', size: 1, ...images[name] },
      ),
  } as unknown as Jobs;
}

function registryWith(digests: Readonly<Record<string, Digest>>) {
  const resolve = (ref: string): Promise<Digest> => {
    const digest = digests[ref];
    return digest === undefined
      ? Promise.reject(new KvciError('notFoundOrExists', 'image-not-found', `no ${ref}`))
      : Promise.resolve(digest);
  };
  return { resolve, offline: false };
}

const find = (wanted: string | undefined, jobs: Jobs, sources: Parameters<typeof findConverterImage>[3]) =>
  findConverterImage(BOOTC_IMAGE_BUILDER, wanted, jobs, sources, NEVER);

it('one that the engine has, by the digest of its own name', async () => {
  const jobs = jobsWith({ 'localhost/bib:1': { digests: [`localhost/other@${TWO}`, `localhost/bib@${ONE}`] } });
  expect((await find('localhost/bib:1', jobs, registryWith({}))).ref).toBe(`localhost/bib@${ONE}`);
});

it('one that was never in a registry, by its id', async () => {
  expect((await find('localhost/bib:1', jobsWith({ 'localhost/bib:1': {} }), registryWith({}))).ref).toBe('sha256:0');
});

it('the first that a registry has', async () => {
  expect(await find(undefined, jobsWith({}), registryWith({ [FIRST]: ONE, [SECOND]: TWO }))).toEqual({
    ref: `ghcr.io/osbuild/bootc-image-builder@${ONE}`,
    present: undefined,
  });
  expect((await find(undefined, jobsWith({}), registryWith({ [SECOND]: TWO }))).ref).toBe(
    `quay.io/centos-bootc/bootc-image-builder@${TWO}`,
  );
});

it('nobody is asked about a digest', async () => {
  const ref = `quay.io/org/bib@${ONE}`;
  expect(pinnedBy(ref)).toBe(ref);
  expect(pinnedBy('quay.io/org/bib:1')).toBeUndefined();
  expect(await find(ref, jobsWith({}), registryWith({}))).toEqual({ ref, present: undefined });
});

it('none to be had is said with what was tried', async () => {
  const missing = { code: 'converter-image-missing', message: expect.stringContaining(`no ${SECOND}`) as string };
  await expect(find(undefined, jobsWith({}), registryWith({}))).rejects.toMatchObject(missing);
  const offline = { ...registryWith({ [FIRST]: ONE }), offline: true };
  await expect(find(undefined, jobsWith({}), offline)).rejects.toMatchObject({ code: 'converter-image-missing' });
});

it('an engine that cannot pull it says so by name', async () => {
  const images = { pull: () => Promise.reject(new KvciError('failed', 'image-pull-failed', 'denied')), load: never, remove: never };
  const image = { ref: `quay.io/org/bib@${ONE}`, present: undefined };
  await expect(
    pullConverterImage(BOOTC_IMAGE_BUILDER, { images, jobs: jobsWith({}) }, image, () => undefined, NEVER),
  ).rejects.toMatchObject({
    code: 'converter-image-missing',
    message: expect.stringContaining('denied') as string,
  });
});

function never(): Promise<never> {
  return Promise.reject(new Error('nobody asks for it'));
}
