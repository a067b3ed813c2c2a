import { expect, it } from 'vitest';

import { sizedNodes } from './memory.ts';
import { clusterOptionsSchema } from './options.ts';
import { nodeSpecs } from './spec.ts';

const GIB = 2 ** 30;

const nodes = (given: object) => nodeSpecs(clusterOptionsSchema.parse(given));
const host = (memory: number) => ({ memoryAvailable: () => Promise.resolve(memory) });

it('containers are as they were asked for', async () => {
  const asked = nodes({ nodes: 2 });
  expect(await sizedNodes(asked, 'kind', host(4e9), 2)).toEqual(asked);
});

it.each([
  [32 * GIB, 2, [2, 2], [3 * 1024, 2 * 1024]],
  [32 * GIB, 1, [2, 2], [3 * 1024, 2 * 1024]],
  [32 * GIB, 16, [4, 4], [3 * 1024, 2 * 1024]],
  // What there is room for, and never less than a node needs.
  [5 * GIB, 2, [2, 2], [2320, 1546]],
  [3.5e9, 2, [2, 2], [1907, 976]],
])('virtual machines fit a host with %d bytes and %d cores', async (memory, cores, cpus, mebibytes) => {
  const sized = await sizedNodes(nodes({ provider: 'vm', nodes: 2 }), 'vm', host(memory), cores);
  expect(sized.map((node) => node.cpus)).toEqual(cpus);
  expect(sized.map((node) => (node.memory ?? 0) / 2 ** 20)).toEqual(mebibytes);
});

it('what was asked for stays, and the others share the rest', async () => {
  const asked = nodes({ provider: 'vm', nodes: 2, cpus: 3, overrides: { node01: { memory: '4GiB' } } });
  const sized = await sizedNodes(asked, 'vm', host(32 * GIB), 2);
  expect(sized.map(({ cpus, memory }) => [cpus, memory])).toEqual([
    [3, 4 * GIB],
    [3, 2 * GIB],
  ]);
});

it('of both kinds only virtual machines get a size', async () => {
  const sized = await sizedNodes(nodes({ provider: 'vm', controlPlaneProvider: 'kind', nodes: 2 }), 'mixed', host(32 * GIB), 2);
  expect(sized.map(({ cpus, memory }) => [cpus, memory])).toEqual([
    [undefined, undefined],
    [2, 2 * GIB],
  ]);
});

it('more than the host has is refused before anything starts', async () => {
  await expect(sizedNodes(nodes({ provider: 'vm', memory: '8GiB' }), 'vm', host(4e9), 2)).rejects.toMatchObject({
    code: 'not-enough-memory',
    exitCode: 3,
  });
  await expect(sizedNodes(nodes({ provider: 'vm', memory: '1.8G' }), 'vm', host(32e9), 2)).rejects.toMatchObject({ code: 'bad-flag' });
});
