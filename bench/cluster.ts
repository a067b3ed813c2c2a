import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';

import { timeKind } from './kind/kind.ts';
import { Bounds, seconds, times } from './lib/bounds.ts';
import { kvciIn, removeClusters } from './lib/run-kvci.ts';

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
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const run = kvciIn(folder);
const bounds = new Bounds();
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

/** The whole command counts, kvci's own start too. */
function up(name: string, nodes: number): Up & { readonly nodesReady: number; readonly ready: number } {
  const { answer, seconds: took } = run('up', name, '--image', TAG, '--provider', 'kind', '--nodes', String(nodes));
  const told = answer as Up;
  return { ...told, ready: took, nodesReady: took - (told.readyMs - told.nodesReadyMs) / 1000 };
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
  bounds.most('two nodes, all nodes Ready', two.nodesReady, NODES_READY_BOUND_S, seconds);
  bounds.most('two nodes, everything Ready', two.ready, READY_BOUND_S, seconds);
  const again = run('up', 'bench-two', '--nodes', '2');
  if (!(again.answer as Up).reused) throw new Error('a Ready cluster was brought up again');
  bounds.most('up of a Ready cluster', again.seconds, AGAIN_BOUND_S, seconds);
  bounds.most('down of two nodes', run('down', 'bench-two').seconds, DOWN_BOUND_S, seconds);
  const kind = await timeKind(`localhost/kvci/node:${two.image.digest.replace('sha256:', '')}`, two.kubernetes, pause, folder);
  const told = [kind.createdMs, kind.nodesReadyMs, kind.readyMs, kind.deleteMs].map((ms) => (ms / 1000).toFixed(1));
  process.stdout.write(`kind: created ${told[0]} s, nodes Ready ${told[1]} s, everything Ready ${told[2]} s, deleted in ${told[3]} s\n`);
  bounds.most('two nodes against kind, all nodes Ready', (two.nodesReady * 1000) / kind.nodesReadyMs, KIND_BOUND, times);
  bounds.most('two nodes against kind, everything Ready', (two.ready * 1000) / kind.readyMs, KIND_BOUND, times);
  const four = up('bench-four', 4);
  bounds.most('four nodes against two, everything Ready', four.ready / two.ready, FOUR_TO_TWO_BOUND, times);
} finally {
  removeClusters(folder, ['bench-warm', 'bench-two', 'bench-four']);
  await rm(folder, { recursive: true, force: true });
}
