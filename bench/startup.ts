import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { median } from './lib/bounds.ts';

/*
 * `./kvci --version`, shell and all, against `node -e 0` with the same Node: interleaved runs, the median of each.
 */

const BOUND = 1.5;
const RUNS = 41;

const kvci = fileURLToPath(new URL('../kvci', import.meta.url));

function milliseconds(argv: readonly [string, ...string[]]): number {
  const started = performance.now();
  const { status, error } = spawnSync(argv[0], argv.slice(1), { stdio: 'ignore' });
  if (status !== 0) throw new Error(`${argv.join(' ')} failed`, { cause: error });
  return performance.now() - started;
}

const ours: number[] = [];
const bare: number[] = [];
// The first start fills the compile cache.
milliseconds([kvci, '--version']);
for (let run = 0; run < RUNS; run += 1) {
  ours.push(milliseconds([kvci, '--version']));
  bare.push(milliseconds([process.execPath, '-e', '0']));
}
const ratio = median(ours) / median(bare);
process.stdout.write(
  `kvci --version / node -e 0: ${ratio.toFixed(2)} (bound ${BOUND}; ${median(ours).toFixed(1)} ms / ${median(bare).toFixed(1)} ms)\n`,
);
process.exitCode = ratio <= BOUND ? 0 : 1;
