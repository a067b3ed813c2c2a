import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Digest } from '../src/core/digest.ts';
import { formatSize } from '../src/core/sizes.ts';
import { Bounds, median, seconds, times } from './lib/bounds.ts';
import { ownMemory, signalMachines } from './lib/own-memory.ts';
import { kvciBeside, kvciIn, removeClusters } from './lib/run-kvci.ts';
import { MEMORY, straightWay } from './vms/straight-way.ts';

/*
 * How long clusters take that come from a snapshot, against the straight way from disks in the same run; how long a save stops one;
 * what is kept of it; ten clusters of it, the others of which stand still, and eight at once. Virtual machines, emulated where there is
 * no KVM: half an hour. `node bench/snapshot.ts [KUBERNETES]`
 */

/** Of the straight way, from disks (bench/vms/straight.ts). */
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
/** Until each of {@link AT_ONCE} clusters that start together has taken a change. */
const WRITE_BOUND_S = 120;
const ROUNDS = 5;
const BESIDE = 10;
const AT_ONCE = 8;

const [, , kubernetes = '1.36'] = process.argv;
const kvci = fileURLToPath(new URL('../kvci', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const state = join(folder, 'state');

interface Step {
  readonly id: string;
  readonly startedAt: string;
  readonly ms: number;
}

interface Up {
  readonly kubernetes: string;
  readonly image: { readonly digest: Digest };
  readonly steps: readonly Step[];
}

const env = { KVCI_STATE_DIR: state };
const run = kvciIn(folder, env);
const beside = kvciBeside(folder, env);
const clusters = Array.from({ length: BESIDE }, (_, at) => (at === 0 ? 'bench' : `bench-${at + 1}`));
const bounds = new Bounds();

/** From the command on until the end of a step, in seconds: kvci's own start comes before the first of them. */
function until(step: string, { steps }: Up, took: number): number {
  const found = steps.find(({ id }) => id === step);
  if (found === undefined) throw new Error(`no step "${step}" was told`);
  const end = (one: Step): number => Date.parse(one.startedAt) + one.ms;
  return took - (Math.max(...steps.map(end)) - end(found)) / 1000;
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
  const sizes = ['--nodes', '2', '--memory', MEMORY];
  const made = run('up', 'bench', '--provider', 'vm', '--k8s', kubernetes, ...sizes);
  process.stdout.write(`by kvci from disks, and the disk first where it was not there: ${made.seconds.toFixed(1)} s\n`);
  const firstPauses = Array.from({ length: ROUNDS }, (_, at) => {
    const pause = saved('bench', `bench-${at}`);
    // Not of it: what is kept is to be that of one.
    if (at > 0) run('snapshot', 'rm', `bench-${at}`);
    return pause;
  });
  bounds.most('a save of a cluster that came from disks stops it', median(firstPauses), FIRST_PAUSE_BOUND_S, seconds);
  bounds.most('kept, the disk of the image aside', await bytesBelow(join(state, 'snapshot-chunks')), KEPT_BOUND, formatSize);
  run('down', 'bench');
  // What the saves have put out of the page cache is there again after that.
  const warm = run('up', 'bench', '--from-snapshot', 'bench-0');
  process.stdout.write(`a restore before the page cache is warm: Ready after ${seconds(warm.seconds)}\n`);
  run('down', 'bench');
  const restores: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const { answer, seconds: took } = run('up', 'bench', '--from-snapshot', 'bench-0');
    restores.push(took);
    bounds.most(`restore ${round}, all nodes running`, until('restore', answer as Up, took), RUNNING_BOUND_S, seconds);
    if (round < ROUNDS) run('down', 'bench');
  }
  process.stdout.write(`restores to Ready: ${restores.map((took) => seconds(took)).join(', ')}\n`);
  const file = join(folder, 'ready.kvci');
  run('snapshot', 'export', 'bench-0', file);
  run('snapshot', 'import', file, '--name', 'bench-far');
  const far = run('up', 'bench-far', '--from-snapshot', 'bench-far');
  process.stdout.write(`the first start after an import, with keys of its own: Ready after ${seconds(far.seconds)}\n`);
  run('down', 'bench-far');
  run('snapshot', 'rm', 'bench-far');
  const resets = Array.from({ length: ROUNDS }, () => run('reset', 'bench').seconds);
  bounds.most('reset, of a restore', median(resets) / median(restores), RESET_BOUND, times);
  const pauses = Array.from({ length: ROUNDS }, (_, at) => {
    const pause = saved('bench', `bench-${at + 1}`);
    run('snapshot', 'rm', `bench-${at + 1}`);
    run('reset', 'bench');
    return pause;
  });
  bounds.most('a save of a restored cluster stops it', median(pauses), PAUSE_BOUND_S, seconds);
  for (const [at, cluster] of clusters.entries()) {
    if (at === 0) continue;
    await signalMachines(state, clusters[at - 1] ?? '', 'SIGSTOP');
    const { seconds: took } = run('up', cluster, '--from-snapshot', 'bench-0');
    if (at === clusters.length - 1)
      bounds.most(`cluster ${BESIDE} of one snapshot, of the first`, took / median(restores), MORE_BOUND, times);
  }
  removeClusters(folder, clusters, env);
  const together = await Promise.all(
    clusters.slice(0, AT_ONCE).map(async (cluster) => {
      const { answer, seconds: took } = await beside('up', cluster, '--from-snapshot', 'bench-0');
      return { written: until('write', answer as Up, took), own: await ownMemory(state, cluster) };
    }),
  );
  bounds.most(
    `${AT_ONCE} clusters at once, the last takes a change`,
    Math.max(...together.map(({ written }) => written)),
    WRITE_BOUND_S,
    seconds,
  );
  removeClusters(folder, clusters, env);
  const straight = await straightWay(made.answer as Up, 'auto', run);
  bounds.most('restore to Ready, of the straight way', median(restores) / straight.ready, READY_BOUND, (value) => value.toFixed(4));
  bounds.most('memory of its own, the most of them', Math.max(...together.map(({ own }) => own)), OWN_MEMORY_BOUND, formatSize);
} finally {
  removeClusters(folder, [...clusters, 'bench-far'], env);
  for (const name of ['bench-far', 'bench-0'])
    spawnSync(kvci, ['snapshot', 'rm', name], { env: { ...process.env, ...env }, stdio: 'ignore' });
  await rm(folder, { recursive: true, force: true });
}
