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

function run(...args: readonly string[]): { readonly answer: unknown; readonly seconds: number } {
  const started = performance.now();
  const { status, stdout } = spawnSync(kvci, [...args, '--output', 'json', '--progress', 'none'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}`);
  return { answer: JSON.parse(stdout.toString('utf8')) as unknown, seconds: (performance.now() - started) / 1000 };
}

const over: string[] = [];
function line(what: string, value: number, bound: number, format: (value: number) => string): void {
  if (value > bound) over.push(what);
  process.stdout.write(`${what}: ${format(value)} (bound ${format(bound)}, ratio ${(value / bound).toFixed(2)})\n`);
}

try {
  const buildNode = (...more: readonly string[]) => {
    const { answer, seconds } = run(...build, ...more);
    return { answer: answer as BuiltImage, seconds };
  };
  const { answer: built } = buildNode();
  const again = Array.from({ length: RUNS }, () => buildNode('--locked', '--offline'));
  if (again.some(({ answer }) => !answer.reused || answer.digest !== built.digest)) throw new Error('the same inputs were built again');
  const median = again.map(({ seconds }) => seconds).toSorted((a, b) => a - b)[Math.floor(RUNS / 2)] ?? Number.NaN;
  line('the same inputs again', median, REUSE_BOUND_S, (seconds) => `${seconds.toFixed(2)} s`);

  const labelled = buildNode('--label', 'bench=1');
  const [before, after] = [built, labelled.answer].map(
    ({ digest }) => (run('image', 'inspect', digest).answer as ImageInspection).sizes.layers,
  );
  const rebuilt = after?.filter(({ digest }) => !before?.some((layer) => layer.digest === digest)).length ?? Number.NaN;
  line(`layers rebuilt for another label (${labelled.seconds.toFixed(2)} s)`, rebuilt, 1, String);
  run('image', 'rm', labelled.answer.digest);

  line('unpacked', built.size.unpacked, UNPACKED_BOUND, formatSize);
  line('compressed', built.size.compressed, COMPRESSED_BOUND, formatSize);
  const { sizes } = run('image', 'check', built.digest).answer as CheckReport;
  for (const { path, size } of sizes.largest) process.stdout.write(`  ${formatSize(size).padStart(8)}  ${path}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exitCode = over.length > 0 ? 1 : 0;
