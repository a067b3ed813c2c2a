import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { timeKind } from './kind/kind.ts';

/*
 * How long clusters of container nodes take: two nodes to both instants, against upstream's kind in the same engine, again, down;
 * four nodes against two. The image is there before and is not timed. `node bench/cluster.ts [KUBERNETES]`
 */

const NODES_READY_BOUND_S = 25;
const READY_BOUND_S = 40;
const AGAIN_BOUND_S = 2;
const DOWN_BOUND_S = 3;
const FOUR_TO_TWO_BOUND = 1.6;
/** No slower than kind with the same image in the same engine and the same wait after its create. */
const KIND_BOUND = 1;

const [, , kubernetes = '1.36'] = process.argv;
const kvci = fileURLToPath(new URL('../kvci', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const TAG = 'localhost/kvci-bench/node:latest';

interface Up {
  readonly nodesReadyMs: number;
  readonly readyMs: number;
  readonly reused: boolean;
  readonly kubernetes: string;
  readonly image: { readonly digest: string };
}

interface Outputs {
  readonly nodes: readonly { readonly stdout: string }[];
}

function run(...args: readonly string[]): { readonly answer: unknown; readonly seconds: number } {
  const started = performance.now();
  const { status, stdout } = spawnSync(kvci, ['--output', 'json', '--progress', 'none', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}: ${stdout.toString('utf8')}`);
  return { answer: JSON.parse(stdout.toString('utf8')) as unknown, seconds: (performance.now() - started) / 1000 };
}

const over: string[] = [];
function line(what: string, value: number, bound: number, unit = ' s'): void {
  if (value > bound) over.push(what);
  process.stdout.write(`${what}: ${value.toFixed(1)}${unit} (bound ${bound}${unit}, ratio ${(value / bound).toFixed(2)})\n`);
}

/** The whole command counts, kvci's own start too. */
function up(name: string, nodes: number): Up & { readonly nodesReady: number; readonly ready: number } {
  const { answer, seconds } = run('up', name, '--image', TAG, '--nodes', String(nodes));
  const told = answer as Up;
  return { ...told, ready: seconds, nodesReady: seconds - (told.readyMs - told.nodesReadyMs) / 1000 };
}

try {
  run('image', 'build', '--k8s', kubernetes, '--payload', 'modules', '--tag', TAG);
  // Brings the image to where nodes start from, and keeps the engine running.
  up('bench-warm', 1);
  process.stdout.write(`load before: ${(loadavg()[0] ?? 0).toFixed(1)}\n`);
  const images =
    (run('exec', '--cluster', 'bench-warm', '--', 'cat', '/usr/lib/kvci/images.list').answer as Outputs).nodes[0]?.stdout ?? '';
  const pause = /^\S*\/pause:\S*/m.exec(images)?.[0] ?? '';
  const two = up('bench-two', 2);
  line('two nodes, all nodes Ready', two.nodesReady, NODES_READY_BOUND_S);
  line('two nodes, everything Ready', two.ready, READY_BOUND_S);
  const again = run('up', 'bench-two', '--nodes', '2');
  if (!(again.answer as Up).reused) throw new Error('a Ready cluster was brought up again');
  line('up of a Ready cluster', again.seconds, AGAIN_BOUND_S);
  line('down of two nodes', run('down', 'bench-two').seconds, DOWN_BOUND_S);
  const kind = await timeKind(`localhost/kvci/node:${two.image.digest.replace('sha256:', '')}`, two.kubernetes, pause, folder);
  const told = [kind.createdMs, kind.nodesReadyMs, kind.readyMs, kind.deleteMs].map((ms) => (ms / 1000).toFixed(1));
  process.stdout.write(`kind: created ${told[0]} s, nodes Ready ${told[1]} s, everything Ready ${told[2]} s, deleted in ${told[3]} s\n`);
  line('two nodes against kind, all nodes Ready', (two.nodesReady * 1000) / kind.nodesReadyMs, KIND_BOUND, '');
  line('two nodes against kind, everything Ready', (two.ready * 1000) / kind.readyMs, KIND_BOUND, '');
  const four = up('bench-four', 4);
  line('four nodes against two, everything Ready', four.ready / two.ready, FOUR_TO_TWO_BOUND, '');
  process.exitCode = over.length === 0 ? 0 : 1;
} finally {
  for (const name of ['bench-warm', 'bench-two', 'bench-four']) {
    spawnSync(kvci, ['down', name, '--progress', 'none'], { cwd: folder, stdio: 'ignore' });
  }
  await rm(folder, { recursive: true, force: true });
}
