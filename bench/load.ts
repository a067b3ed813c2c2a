import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { smallImage } from '../test/fixtures/small-image.ts';

/*
 * How long it takes to load an image into the two nodes of a cluster that have it already, against any command on one of them, both
 * from kvci's start to its end: in turn, the fastest of each counts. `node bench/load.ts [KUBERNETES]`
 */

const BOUND = 2;
const ROUNDS = 5;
const NAME = 'bench-load';

const [, , kubernetes = '1.36'] = process.argv;
const kvci = fileURLToPath(new URL('../kvci', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));

/** Seconds. */
function run(...args: readonly string[]): number {
  const started = performance.now();
  const { status, stderr } = spawnSync(kvci, ['--progress', 'none', ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}: ${stderr.toString('utf8')}`);
  return (performance.now() - started) / 1000;
}

try {
  run('up', NAME, '--k8s', kubernetes, '--nodes', '2', '--provider', 'kind');
  const { archive } = await smallImage(folder, {
    name: 'example.org/bench:1',
    greeting: 'hello',
    more: Buffer.alloc(20_000_000, 'some bytes '),
  });
  run('image', 'load', archive);
  const load = (): number => run('load', 'example.org/bench:1', '--cluster', NAME);
  const first = load();
  const seconds = { load: [] as number[], ssh: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    seconds.load.push(load());
    seconds.ssh.push(run('ssh', 'node01', '--cluster', NAME, '--', 'true'));
  }
  const [again, command] = [Math.min(...seconds.load), Math.min(...seconds.ssh)];
  process.stdout.write(`load before: ${(loadavg()[0] ?? 0).toFixed(1)}\nfirst load of 20 MB into two nodes: ${first.toFixed(2)} s\n`);
  process.stdout.write(
    `second load: ${again.toFixed(2)} s, kvci ssh node01 true: ${command.toFixed(2)} s, ratio ${(again / command).toFixed(2)} (bound ${BOUND})\n`,
  );
  process.exitCode = again > command * BOUND ? 1 : 0;
} finally {
  run('down', NAME);
  spawnSync(kvci, ['image', 'rm', 'example.org/bench:1'], { cwd: folder, stdio: 'ignore' });
  await rm(folder, { recursive: true, force: true });
}
