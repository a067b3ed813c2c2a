import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { formatSize } from '../src/core/sizes.ts';
import { Bounds, median, seconds, times } from './lib/bounds.ts';
import { kvciIn, removeClusters } from './lib/run-kvci.ts';

/*
 * How long clusters take that come from a snapshot, against the same cluster from its disks in the same run; how long a save stops one;
 * what is kept of it. Virtual machines, emulated where there is no KVM: minutes. `node bench/snapshot.ts [KUBERNETES] [NODES]`
 */

/** Of the bring-up from disks. */
const READY_BOUND = 1 / 60;
const RUNNING_BOUND_S = 1;
const FIRST_PAUSE_BOUND_S = 4;
const PAUSE_BOUND_S = 0.5;
/** Of what a restore takes. */
const RESET_BOUND = 1;
const KEPT_BOUND = 700e6;
/** Of what the first cluster of a snapshot takes. */
const MORE_BOUND = 1.3;
const OWN_MEMORY_BOUND = 700e6;
const ROUNDS = 5;

const [, , kubernetes = '1.36', nodes = '2'] = process.argv;
const kvci = fileURLToPath(new URL('../kvci', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const state = join(folder, 'state');

interface Step {
  readonly id: string;
  readonly startedAt: string;
  readonly ms: number;
}

interface Up {
  readonly readyMs: number;
  readonly steps: readonly Step[];
}

const env = { KVCI_STATE_DIR: state };
const run = kvciIn(folder, env);
const bounds = new Bounds();

/** From the command on until all machines ran: what comes before its first step is kvci's own start. */
function running(told: Up, took: number): number {
  const [first] = told.steps;
  const restored = told.steps.find(({ id }) => id === 'restore');
  const last = told.steps.at(-1);
  if (first === undefined || restored === undefined || last === undefined) throw new Error('no steps were told');
  const steps = (Date.parse(last.startedAt) + last.ms - Date.parse(first.startedAt)) / 1000;
  return took - steps + restored.ms / 1000;
}

function saved(cluster: string, name: string): number {
  return (run('snapshot', 'save', cluster, '--name', name).answer as { readonly pausedMs: number }).pausedMs / 1000;
}

async function bytesBelow(path: string): Promise<number> {
  const files = await readdir(path, { recursive: true, withFileTypes: true });
  const sizes = files.filter((entry) => entry.isFile()).map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

try {
  process.stdout.write(`load before: ${(loadavg()[0] ?? 0).toFixed(1)}\n`);
  const straight = run('up', 'bench', '--provider', 'vm', '--nodes', nodes, '--k8s', kubernetes);
  process.stdout.write(`from disks: ${straight.seconds.toFixed(1)} s\n`);
  const firstPause = saved('bench', 'bench-0');
  bounds.most('a first save stops the cluster', firstPause, FIRST_PAUSE_BOUND_S, seconds);
  bounds.most('kept, the disk of the image aside', await bytesBelow(join(state, 'snapshot-chunks')), KEPT_BOUND, formatSize);
  run('down', 'bench');
  const restores: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const { answer, seconds: took } = run('up', 'bench', '--from-snapshot', 'bench-0');
    restores.push(took);
    bounds.most(`restore ${round}, all nodes running`, running(answer as Up, took), RUNNING_BOUND_S, seconds);
    if (round < ROUNDS) run('down', 'bench');
  }
  bounds.most('restore to Ready, of the way from disks', median(restores) / straight.seconds, READY_BOUND, times);
  const resets = Array.from({ length: ROUNDS }, () => run('reset', 'bench').seconds);
  bounds.most('reset, of a restore', median(resets) / median(restores), RESET_BOUND, times);
  const pauses = Array.from({ length: ROUNDS }, (_, at) => {
    const pause = saved('bench', `bench-${at + 1}`);
    run('snapshot', 'rm', `bench-${at + 1}`);
    run('reset', 'bench');
    return pause;
  });
  bounds.most('a save of a restored cluster stops it', median(pauses), PAUSE_BOUND_S, seconds);
  const second = run('up', 'bench-more', '--from-snapshot', 'bench-0');
  bounds.most('another cluster beside it, of the first', second.seconds / median(restores), MORE_BOUND, times);
  const { stdout } = spawnSync('sh', ['-c', 'for pid in $(pgrep qemu-system); do grep RssAnon "/proc/$pid/status"; done'], {
    encoding: 'utf8',
  });
  const own = [...stdout.matchAll(/(\d+) kB/g)].reduce((sum, [, size]) => sum + Number(size) * 1000, 0);
  bounds.most('memory of its own, each of two clusters', own / 2, OWN_MEMORY_BOUND, formatSize);
} finally {
  removeClusters(folder, ['bench', 'bench-more'], env);
  spawnSync(kvci, ['snapshot', 'rm', 'bench-0'], { env: { ...process.env, ...env }, stdio: 'ignore' });
  await rm(folder, { recursive: true, force: true });
}
