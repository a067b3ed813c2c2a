import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { BuiltImage } from '../src/cli/services.ts';
import { formatSize } from '../src/core/sizes.ts';
import type { CheckReport } from '../src/image/check/types.ts';
import type { ImageInspection } from '../src/image/inspect.ts';
import { Bounds, median, seconds } from './lib/bounds.ts';
import { kvciIn } from './lib/run-kvci.ts';

/*
 * What a node image weighs, and what building it again costs: the same inputs, and another label. The first build is not timed;
 * it takes what the cache has. `node bench/image.ts [KUBERNETES]`
 */

const REUSE_BOUND_S = 2;
const UNPACKED_BOUND = 1.0e9;
const COMPRESSED_BOUND = 350e6;
const RUNS = 5;

const [, , kubernetes = '1.36'] = process.argv;
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const run = kvciIn(folder);
const bounds = new Bounds();
const build = ['image', 'build', '--k8s', kubernetes, '--payload', 'modules', '--tag', 'localhost/kvci-bench/node:latest'];

try {
  const buildNode = (...more: readonly string[]) => {
    const built = run(...build, ...more);
    return { ...built, answer: built.answer as BuiltImage };
  };
  const { answer: built } = buildNode();
  const again = Array.from({ length: RUNS }, () => buildNode('--locked', '--offline'));
  if (again.some(({ answer }) => !answer.reused || answer.digest !== built.digest)) throw new Error('the same inputs were built again');
  const took = again.map((one) => one.seconds);
  bounds.most('the same inputs again', median(took), REUSE_BOUND_S, seconds);

  const labelled = buildNode('--label', 'bench=1');
  const [before, after] = [built, labelled.answer].map(
    ({ digest }) => (run('image', 'inspect', digest).answer as ImageInspection).sizes.layers,
  );
  const rebuilt = after?.filter(({ digest }) => !before?.some((layer) => layer.digest === digest)).length ?? Number.NaN;
  bounds.most(`layers rebuilt for another label (${labelled.seconds.toFixed(2)} s)`, rebuilt, 1, String);
  run('image', 'rm', labelled.answer.digest);

  bounds.most('unpacked', built.size.unpacked, UNPACKED_BOUND, formatSize);
  bounds.most('compressed', built.size.compressed, COMPRESSED_BOUND, formatSize);
  const { sizes } = run('image', 'check', built.digest).answer as CheckReport;
  for (const { path, size } of sizes.largest) process.stdout.write(`  ${formatSize(size).padStart(8)}  ${path}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
