import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';

import type { LoadReport } from '../src/cli/services.ts';
import { smallImage } from '../test/fixtures/small-image.ts';
import { Bounds, seconds, times } from './lib/bounds.ts';
import { kvciIn, removeClusters, textOf } from './lib/run-kvci.ts';

/*
 * How long it takes to load an image into the two nodes of a cluster that have it already, against any command on one of them, both
 * from kvci's start to its end: in turn, the fastest of each counts. `node bench/load.ts [KUBERNETES] [PROVIDER]`
 */

const BOUND = 2;
const ROUNDS = 5;
const NAME = 'bench-load';
const IMAGE = 'example.org/bench:1';

const [, , kubernetes = '1.36', provider = 'kind'] = process.argv;
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const run = kvciIn(folder);
const bounds = new Bounds();
let loaded = false;

function load(): { readonly sent: number; readonly seconds: number } {
  const { answer, seconds: took } = run('load', IMAGE, '--cluster', NAME);
  return { sent: (answer as LoadReport).nodes.reduce((sum, node) => sum + node.sent, 0), seconds: took };
}

function command(): number {
  const started = performance.now();
  textOf(folder, 'ssh', 'node01', '--cluster', NAME, '--', 'true');
  return (performance.now() - started) / 1000;
}

try {
  run('up', NAME, '--k8s', kubernetes, '--nodes', '2', '--provider', provider);
  const { archive } = await smallImage(folder, { name: IMAGE, greeting: 'hello', more: Buffer.alloc(20_000_000, 'some bytes ') });
  run('image', 'load', archive);
  loaded = true;
  process.stdout.write(`load before: ${(loadavg()[0] ?? 0).toFixed(1)}\n`);
  process.stdout.write(`first load of 20 MB into two nodes: ${seconds(load().seconds)}\n`);
  const rounds = Array.from({ length: ROUNDS }, () => ({ again: load(), command: command() }));
  if (rounds.some(({ again }) => again.sent > 0)) throw new Error('nodes were sent what they had');
  const again = Math.min(...rounds.map((round) => round.again.seconds));
  const any = Math.min(...rounds.map((round) => round.command));
  bounds.most(`second load (${seconds(again)}), of kvci ssh node01 true (${seconds(any)})`, again / any, BOUND, times);
} finally {
  removeClusters(folder, [NAME]);
  if (loaded) textOf(folder, 'image', 'rm', IMAGE);
  await rm(folder, { recursive: true, force: true });
}
