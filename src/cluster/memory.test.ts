import { describe, expect, it } from 'vitest';

import type { Event } from '../core/events.ts';
import { memoryOf, sizedNodes } from './memory.ts';
import { clusterOptionsSchema } from './options.ts';
import { nodeSpecs } from './spec.ts';

const nodes = (count: number, memory?: string) =>
  nodeSpecs(clusterOptionsSchema.parse({ name: 'lab', nodes: count, ...(memory === undefined ? {} : { memory }) }));

const SILENT = (): void => undefined;
const host = (memory: number) => ({ memoryAvailable: () => Promise.resolve(memory) });

/** What is said of nodes on a host with so much memory. */
async function check(specs: ReturnType<typeof nodes>, available: number): Promise<readonly string[]> {
  const said: string[] = [];
  const events = (event: Event): void => {
    if (event.type === 'problem') said.push(event.message);
  };
  await sizedNodes(specs, 'kind', host(available), events, 2);
  return said;
}

describe('memory for the nodes that are asked for', () => {
  it.each([
    [undefined, 1e9],
    [{ transport: 'unix', path: '/run/docker.sock' }, 1e9],
    [{ transport: 'ssh', destination: 'lab', socket: '/run/docker.sock' }, Infinity],
    [{ transport: 'tcp', host: 'lab', port: 2376 }, Infinity],
  ] as const)('of another host is not ours to count: %j', async (engine, available) => {
    expect(await memoryOf(engine, host(1e9)).memoryAvailable()).toBe(available);
  });

  it.each([
    { what: 'what they use, where nothing is asked', specs: nodes(4), available: 2e9 },
    { what: 'a bound, which they need not reach', specs: nodes(2, '4G'), available: 8e9 },
  ])('is there: $what', async ({ specs, available }) => {
    expect(await check(specs, available)).toEqual([]);
  });

  it.each([
    { what: 'what they use', specs: nodes(10), available: 2e9, words: '1 control plane, 9 workers need about' },
    { what: 'what one of them is to have', specs: nodes(10, '8G'), available: 7.5e9, words: 'node01 is to have' },
  ])('is not there: $what', async ({ specs, available, words }) => {
    await expect(check(specs, available)).rejects.toMatchObject({
      code: 'not-enough-memory',
      exitCode: 3,
      message: expect.stringContaining(words) as string,
    });
  });

  it('is not there for all at once: said, as bounds are no needs', async () => {
    expect(await check(nodes(4, '4G'), 8e9)).toEqual([expect.stringContaining('together') as string]);
  });

  it('is never less than a node needs', async () => {
    await expect(check(nodes(1, '1G'), 8e9)).rejects.toMatchObject({ code: 'bad-flag' });
  });
});

const GIB = 2 ** 30;

const nodesOf = (given: object) => nodeSpecs(clusterOptionsSchema.parse(given));

it('containers are as they were asked for', async () => {
  const asked = nodesOf({ nodes: 2 });
  expect(await sizedNodes(asked, 'kind', host(4e9), SILENT, 2)).toEqual(asked);
});

it.each([
  [32 * GIB, 2, [2, 1], [3 * 1024, 2 * 1024]],
  [32 * GIB, 1, [2, 1], [3 * 1024, 2 * 1024]],
  [32 * GIB, 3, [3, 3], [3 * 1024, 2 * 1024]],
  [32 * GIB, 16, [4, 4], [3 * 1024, 2 * 1024]],
  // What there is room for, and never less than a node needs.
  [5 * GIB, 2, [2, 1], [2320, 1546]],
  [3.5e9, 2, [2, 1], [1907, 976]],
])('virtual machines fit a host with %d bytes and %d cores', async (memory, cores, cpus, mebibytes) => {
  const sized = await sizedNodes(nodesOf({ provider: 'vm', nodes: 2 }), 'vm', host(memory), SILENT, cores);
  expect(sized.map((node) => node.cpus)).toEqual(cpus);
  expect(sized.map((node) => (node.memory ?? 0) / 2 ** 20)).toEqual(mebibytes);
});

it('what was asked for stays, and the others share the rest', async () => {
  const asked = nodesOf({ provider: 'vm', nodes: 2, cpus: 3, overrides: { node01: { memory: '4GiB' } } });
  const sized = await sizedNodes(asked, 'vm', host(32 * GIB), SILENT, 2);
  expect(sized.map(({ cpus, memory }) => [cpus, memory])).toEqual([
    [3, 4 * GIB],
    [3, 2 * GIB],
  ]);
});

it('of both kinds only virtual machines get a size', async () => {
  const sized = await sizedNodes(nodesOf({ provider: 'vm', controlPlaneProvider: 'kind', nodes: 2 }), 'mixed', host(32 * GIB), SILENT, 2);
  expect(sized.map(({ cpus, memory }) => [cpus, memory])).toEqual([
    [undefined, undefined],
    [1, 2 * GIB],
  ]);
});

it('more than the host has is refused before anything starts', async () => {
  await expect(sizedNodes(nodesOf({ provider: 'vm', memory: '8GiB' }), 'vm', host(4e9), SILENT, 2)).rejects.toMatchObject({
    code: 'not-enough-memory',
    exitCode: 3,
  });
  await expect(sizedNodes(nodesOf({ provider: 'vm', memory: '1.8G' }), 'vm', host(32e9), SILENT, 2)).rejects.toMatchObject({
    code: 'bad-flag',
  });
});

it('what a node has too little of is named where it was said', async () => {
  const options = clusterOptionsSchema.parse({ provider: 'vm', nodes: 2, memory: '4G', overrides: { node02: { memory: '100M' } } });
  await expect(sizedNodes(nodeSpecs(options), 'vm', host(32e9), SILENT, 2, options.overrides)).rejects.toMatchObject({
    message: 'cluster.overrides.node02.memory: node02 (worker) needs at least 800 MB',
  });
});
