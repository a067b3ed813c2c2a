import { afterAll, beforeAll, expect, it } from 'vitest';

import { systemClock } from '../../../src/host/clock.ts';
import { temporaryFolder } from '../../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';

/* `up` and `down` again and again. KVCI_TEST_ROUNDS says how often; fifty times is what a release takes. */

const NAME = 'kvci-rounds';
const ROUNDS = Number(process.env['KVCI_TEST_ROUNDS'] ?? 5);

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let image: string;
let before: HostTraces;
const seconds: { readonly up: number; readonly down: number }[] = [];

const here = kvciIn(() => folder);
const done = wellDone(here);

async function timed(...args: readonly string[]): Promise<number> {
  const started = systemClock.monotonic();
  await done(...args);
  return (systemClock.monotonic() - started) / 1000;
}

beforeAll(async () => {
  folder = await temporaryFolder();
  image = (await nodeImage('1.36')).digest;
  before = await hostTraces();
});

afterAll(async () => {
  await here('down', NAME);
  await folder[Symbol.asyncDispose]();
  for (const what of ['up', 'down'] as const) {
    const all = seconds.map((round) => round[what]).toSorted((a, b) => a - b);
    const [least, middle, most] = [all[0], all[Math.floor(all.length / 2)], all.at(-1)].map((value) => (value ?? Number.NaN).toFixed(1));
    process.stdout.write(`${what}, ${all.length} times: ${least} s at least, ${middle} s in the middle, ${most} s at most\n`);
  }
});

it.each(Array.from({ length: ROUNDS }, (_, index) => index + 1))('round %i leaves nothing', async () => {
  const up = await timed('up', NAME, '--provider', 'kind', '--image', image, '--nodes', '2');
  seconds.push({ up, down: await timed('down', NAME) });
  expect(await hostTraces()).toEqual(before);
});
