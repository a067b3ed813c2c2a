import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { memoryContainers } from '../../../test/fixtures/memory-containers.ts';
import { KvciError } from '../../core/errors.ts';
import { systemClock } from '../../host/clock.ts';
import { fileLocks } from '../../host/locks.ts';
import { HostEngines } from './host-engines.ts';
import { type HostEngineParts, removeLostInHostEngines } from './lost-in-host-engines.ts';

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
  return { engines, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

const parts = { exists: () => true, claim: claims(), isUsed: () => Promise.resolve(false) };

describe('engines of the host', () => {
  it('are known by whom they are entered, once', async () => {
    await using here = await place();
    expect(await here.engines.read()).toBeUndefined();
    const owner = await here.engines.enter('/run/docker.sock');
    expect(owner).toMatch(/^[0-9a-f]{16}$/);
    expect([await here.engines.enter('/run/podman.sock'), await here.engines.enter('/run/docker.sock')]).toEqual([owner, owner]);
    expect((await here.engines.read())?.engines.map(({ socket }) => socket)).toEqual(['/run/docker.sock', '/run/podman.sock']);
  });

  it('lose what this state directory lost, and nothing of others', async () => {
    await using here = await place();
    const owner = await here.engines.enter('/run/docker.sock');
    const { containers, left } = memoryContainers([
      of('lost', owner, 'lost'),
      of('known', owner, 'known'),
      of('another', 'fedcba9876543210', 'lost'),
      of('nobody', undefined, 'lost'),
    ]);
    const connect = () => Promise.resolve(containers);
    const result = await removeLostInHostEngines({ ...parts, ...here, connect, claim: claims({ known: 'a' }) });
    expect(result).toEqual({ removed: ['nodes of the cluster "lost", whose state is lost'], failed: [] });
    expect(left()).toEqual(['known', 'another', 'nobody']);
    expect((await here.engines.read())?.engines).toHaveLength(1);
  });

  it.each([
    { used: false, left: 0 },
    { used: true, left: 1 },
  ])('in which nothing is left are forgotten, unless a cluster is about to be made there ($used)', async ({ used, left }) => {
    await using here = await place();
    await here.engines.enter('/run/docker.sock');
    const connect = () => Promise.resolve(memoryContainers([]).containers);
    await removeLostInHostEngines({ ...parts, ...here, connect, isUsed: () => Promise.resolve(used) });
    expect((await here.engines.read())?.engines).toHaveLength(left);
  });

  it('lose probes that were killed, not those that are at work', async () => {
    await using here = await place();
    const owner = await here.engines.enter('/run/docker.sock');
    const labels = { 'io.kvci.run': 'probe', 'io.kvci.run/owner': owner };
    const { containers, left } = memoryContainers([{ name: 'probe', labels }]);
    const connect = () => Promise.resolve(containers);
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
    const ask = (what: string) =>
      here.engines.suits('/run/docker.sock', what, () => {
        asked.push(what);
        return Promise.resolve(answers.shift());
      });
    expect([await ask('docker 28'), await ask('docker 28'), await ask('docker 28'), await ask('docker 29')]).toEqual([
      'not permitted',
      undefined,
      undefined,
      undefined,
    ]);
    expect(asked).toEqual(['docker 28', 'docker 28', 'docker 29']);
    const owner = await here.engines.enter('/run/docker.sock');
    expect(await here.engines.read()).toEqual({ version: 1, owner, engines: [{ socket: '/run/docker.sock', suits: 'docker 29' }] });
  });

  it('that do not answer are told; those that do not run are asked another time', async () => {
    await using here = await place();
    await here.engines.enter('/run/docker.sock');
    const connect = () => Promise.reject(new KvciError('hostNotReady', 'engine-unreachable', 'nobody answers'));
    const { failed } = await removeLostInHostEngines({ ...parts, ...here, connect });
    expect(failed.map(({ message }) => message)).toEqual([
      'cannot remove nodes of lost clusters in the engine at /run/docker.sock: nobody answers',
    ]);
    expect(await removeLostInHostEngines({ ...parts, ...here, connect, exists: () => false })).toEqual({ removed: [], failed: [] });
    expect((await here.engines.read())?.engines).toHaveLength(1);
  });
});
