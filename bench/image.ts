import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { BuiltImage } from '../src/cli/services.ts';
import { formatSize } from '../src/core/sizes.ts';
import type { CheckReport } from '../src/image/check/types.ts';
import type { ImageInspection } from '../src/image/inspect.ts';

/*
 * What a node image weighs, and what building it again costs: the same inputs, and another label. The first build is not timed;
 * it takes what the cache has. `node bench/image.ts [KUBERNETES]`
 */

const REUSE_BOUND_S = 2;
const UNPACKED_BOUND = 1.0e9;
const COMPRESSED_BOUND = 350e6;
const RUNS = 5;

const [, , kubernetes = '1.36'] = process.argv;
const kvci = fileURLToPath(new URL('../kvci', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const build = ['image', 'build', '--k8s', kubernetes, '--payload', 'modules', '--tag', 'localhost/kvci-bench/node:latest'];

function run<T>(...args: readonly string[]): { readonly answer: T; readonly seconds: number } {
  const started = performance.now();
  const { status, stdout } = spawnSync(kvci, [...args, '--output', 'json'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}`);
  return { answer: JSON.parse(stdout.toString('utf8')) as T, seconds: (performance.now() - started) / 1000 };
}

let failed = false;
function line(what: string, value: number, bound: number, format: (value: number) => string): void {
  if (value > bound) failed = true;
  process.stdout.write(`${what}: ${format(value)} (bound ${format(bound)}, ratio ${(value / bound).toFixed(2)})\n`);
}

try {
  const { answer: built } = run<BuiltImage>(...build);
  const again = Array.from({ length: RUNS }, () => run<BuiltImage>(...build, '--locked', '--offline'));
  if (again.some(({ answer }) => !answer.reused || answer.digest !== built.digest)) throw new Error('the same inputs were built again');
  const median = again.map(({ seconds }) => seconds).toSorted((a, b) => a - b)[Math.floor(RUNS / 2)] ?? Number.NaN;
  line('the same inputs again', median, REUSE_BOUND_S, (seconds) => `${seconds.toFixed(2)} s`);

  const labelled = run<BuiltImage>(...build, '--label', 'bench=1');
  const [before, after] = [built, labelled.answer].map(
    ({ digest }) => run<ImageInspection>('image', 'inspect', digest).answer.sizes.layers,
  );
  const rebuilt = after?.filter(({ digest }) => !before?.some((layer) => layer.digest === digest)).length ?? Number.NaN;
  line(`layers rebuilt for another label (${labelled.seconds.toFixed(2)} s)`, rebuilt, 1, String);
  run('image', 'rm', labelled.answer.digest);

  line('unpacked', built.size.unpacked, UNPACKED_BOUND, formatSize);
  line('compressed', built.size.compressed, COMPRESSED_BOUND, formatSize);
  const { sizes } = run<CheckReport>('image', 'check', built.digest).answer;
  for (const { path, size } of sizes.largest) process.stdout.write(`  ${formatSize(size).padStart(8)}  ${path}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
