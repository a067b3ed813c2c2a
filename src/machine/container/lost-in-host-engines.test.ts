import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { memoryContainers } from '../../../test/fixtures/memory-containers.ts';
import { sha256 } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import { systemClock } from '../../host/clock.ts';
import { showAddress } from '../../host/engine/endpoint.ts';
import { fileLocks } from '../../host/locks.ts';
import { HostEngines } from './host-engines.ts';
import { nodeImageName } from './host-images.ts';
import { type HostEngineParts, type LostEngine, removeLostInHostEngines } from './lost-in-host-engines.ts';
import { probeImage } from './node-probe.ts';

const of = (name: string, owner: string | undefined, cluster: string) => ({
  name,
  labels: { 'io.kvci.run': 'a', 'io.kvci.run/cluster': cluster, ...(owner === undefined ? {} : { 'io.kvci.run/owner': owner }) },
});

/** Nobody else is at work, and only what `known` names is known. */
const claims =
  (known: Readonly<Record<string, string>> = {}): HostEngineParts['claim'] =>
  (cluster) =>
    Promise.resolve({ run: known[cluster], [Symbol.asyncDispose]: () => Promise.resolve() });

async function place() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'kvci-engines-'));
  const engines = new HostEngines({ state: folder.path }, fileLocks(systemClock));
  return { engines, folder: folder.path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** The images of an engine. */
const imagesOf = (...tags: readonly string[]) => {
  const images = new Set(tags);
  const engine: LostEngine['images'] = {
    images: () => Promise.resolve([...images]),
    remove: (tag) => Promise.resolve(void images.delete(tag)),
  };
  return { images: engine, left: () => [...images] };
};

/** Connects to an engine with these containers and images. */
const connectTo =
  (containers: LostEngine['containers'], images = imagesOf().images): HostEngineParts['connect'] =>
  () =>
    Promise.resolve({ containers, images, [Symbol.asyncDispose]: () => Promise.resolve() });

const DOCKER = { transport: 'unix', path: '/run/docker.sock' } as const;

const parts = {
  exists: () => true,
  claim: claims(),
  needed: () => Promise.resolve([]),
};

describe('engines of the host', () => {
  it('are known by whom they are entered, once', async () => {
    await using here = await place();
    expect(await here.engines.read()).toBeUndefined();
    const owner = await here.engines.enter(DOCKER);
    expect(owner).toMatch(/^[0-9a-f]{16}$/);
    expect([
      await here.engines.enter({ transport: 'ssh', destination: 'lab', socket: '/run/podman.sock' }),
      await here.engines.enter(DOCKER),
    ]).toEqual([owner, owner]);
    expect((await here.engines.read())?.engines.map(({ address }) => showAddress(address))).toEqual([
      'unix:///run/docker.sock',
      'ssh://lab/run/podman.sock',
    ]);
  });

  it('that an earlier kvci wrote down are known', async () => {
    await using here = await place();
    const engines = [{ socket: '/run/docker.sock', suits: 'docker 28' }];
    await writeFile(join(here.folder, 'host-engines.json'), JSON.stringify({ version: 1, owner: 'me', engines }));
    expect((await here.engines.read())?.engines).toEqual([{ address: DOCKER, suits: 'docker 28' }]);
    expect(await here.engines.enter(DOCKER)).toBe('me');
  });

  it('lose what this state directory lost, and nothing of others', async () => {
    await using here = await place();
    const owner = await here.engines.enter(DOCKER);
    const { containers, left } = memoryContainers([
      of('lost', owner, 'lost'),
      of('known', owner, 'known'),
      of('another', 'fedcba9876543210', 'lost'),
      of('nobody', undefined, 'lost'),
    ]);
    const connect = connectTo(containers);
    const result = await removeLostInHostEngines({ ...parts, ...here, connect, claim: claims({ known: 'a' }) });
    expect(result).toEqual({ removed: ['nodes of the cluster "lost", whose state is lost'], failed: [], unseen: [] });
    expect(left()).toEqual(['known', 'another', 'nobody']);
    expect((await here.engines.read())?.engines).toHaveLength(1);
  });

  it.each([
    { used: false, left: 0 },
    { used: true, left: 1 },
  ])('in which nothing is left are forgotten, unless a cluster is about to be made there ($used)', async ({ used, left }) => {
    await using here = await place();
    await here.engines.enter(DOCKER);
    const connect = connectTo(memoryContainers([]).containers);
    await removeLostInHostEngines({ ...parts, ...here, connect, needed: () => Promise.resolve(used ? [sha256('image')] : []) });
    expect((await here.engines.read())?.engines).toHaveLength(left);
  });

  it('lose images that nobody needs, unless it cannot be told who does', async () => {
    await using here = await place();
    const owner = await here.engines.enter(DOCKER);
    const { images, left } = imagesOf(nodeImageName(sha256('old')), probeImage(owner), probeImage('another'), 'debian:13');
    const connect = connectTo(memoryContainers([]).containers, images);
    const all = { ...parts, ...here, connect };
    expect((await removeLostInHostEngines({ ...all, needed: () => Promise.resolve(undefined) })).removed).toEqual([]);
    expect((await removeLostInHostEngines(all)).removed).toEqual([`image ${nodeImageName(sha256('old'))}`]);
    expect(left()).toEqual([probeImage('another'), 'debian:13']);
  });

  it('lose probes that were killed, not those that are at work', async () => {
    await using here = await place();
    const owner = await here.engines.enter(DOCKER);
    const labels = { 'io.kvci.run': 'probe', 'io.kvci.run/owner': owner };
    const { containers, left } = memoryContainers([{ name: 'probe', labels }]);
    const connect = connectTo(containers);
    const probing = await here.engines.tryHoldProbes();
    await removeLostInHostEngines({ ...parts, ...here, connect });
    expect(left()).toEqual(['probe']);
    await probing?.[Symbol.asyncDispose]();
    await removeLostInHostEngines({ ...parts, ...here, connect });
    expect(left()).toEqual([]);
  });

  it('are asked once whether nodes can be in them, as long as they suit and stay what they are', async () => {
    await using here = await place();
    const answers: (string | undefined)[] = ['not permitted', undefined, undefined];
    const asked: string[] = [];
    const owners = new Set<string>();
    const ask = (what: string) =>
      here.engines.suits(DOCKER, what, (owner) => {
        asked.push(what);
        owners.add(owner);
        return Promise.resolve(answers.shift());
      });
    expect([await ask('docker 28'), await ask('docker 28'), await ask('docker 28'), await ask('docker 29')]).toEqual([
      'not permitted',
      undefined,
      undefined,
      undefined,
    ]);
    expect(asked).toEqual(['docker 28', 'docker 28', 'docker 29']);
    const owner = await here.engines.enter(DOCKER);
    expect([...owners]).toEqual([owner]);
    expect(await here.engines.read()).toEqual({ version: 1, owner, engines: [{ address: DOCKER, suits: 'docker 29' }] });
  });

  it('that were asked and passed over are not kept, those that something may be in are', async () => {
    await using here = await place();
    const known = async () => (await here.engines.read())?.engines.map(({ address }) => showAddress(address));
    await here.engines.suits(DOCKER, 'docker 28', async () => {
      expect(await known()).toEqual(['unix:///run/docker.sock']);
      return 'not permitted';
    });
    expect(await known()).toEqual([]);
    await expect(here.engines.suits(DOCKER, 'docker 28', () => Promise.reject(new Error('killed')))).rejects.toThrow('killed');
    expect(await known()).toEqual(['unix:///run/docker.sock']);
    await here.engines.suits(DOCKER, 'docker 28', () => Promise.resolve('not permitted'));
    expect(await known()).toEqual(['unix:///run/docker.sock']);
  });

  it.each([
    ['that was not written by kvci', (path: string) => writeFile(path, '{"version":2}'), 'does not tell of engines'],
    ['that names no engine', (path: string) => writeFile(path, '{"version":1,"owner":"me","engines":[{}]}'), 'does not tell of engines'],
    ['that cannot be read', (path: string) => mkdir(path), 'EISDIR'],
  ])('in a file %s are refused in clear words', async (_what, spoil, words) => {
    await using here = await place();
    await spoil(join(here.folder, 'host-engines.json'));
    await expect(here.engines.enter(DOCKER)).rejects.toMatchObject({
      code: 'bad-state-file',
      message: expect.stringContaining(words) as string,
    });
  });

  it('that may not be asked are told; those that are not reached are named, and asked another time', async () => {
    await using here = await place();
    await here.engines.enter(DOCKER);
    const cause = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
    const connect = () => Promise.reject(new KvciError('hostNotReady', 'engine-unreachable', 'nobody answers', { cause }));
    const { failed } = await removeLostInHostEngines({ ...parts, ...here, connect });
    expect(failed.map(({ message }) => message)).toEqual([
      'cannot remove nodes of lost clusters in the engine at unix:///run/docker.sock: nobody answers',
    ]);
    const unseen = (why: string) => ({
      removed: [],
      failed: [],
      unseen: [`the engine at unix:///run/docker.sock, which nodes were in, was not asked whether some are left: ${why}`],
    });
    expect(await removeLostInHostEngines({ ...parts, ...here, connect, exists: () => false })).toEqual(unseen('there is no such socket'));
    const gone = () => Promise.reject(new KvciError('hostNotReady', 'engine-unreachable', 'connect ECONNREFUSED'));
    expect(await removeLostInHostEngines({ ...parts, ...here, connect: gone })).toEqual(unseen('connect ECONNREFUSED'));
    expect((await here.engines.read())?.engines).toHaveLength(1);
  });
});
