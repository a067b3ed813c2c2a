import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
const KEPT_BOUND_MB = 700;
/** Of what the first cluster of a snapshot takes. */
const MORE_BOUND = 1.3;
const OWN_MEMORY_BOUND_MB = 700;
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

function run(...args: readonly string[]): { readonly answer: unknown; readonly seconds: number } {
  const started = performance.now();
  const { status, stdout } = spawnSync(kvci, ['--output', 'json', '--progress', 'none', ...args], {
    cwd: folder,
    env: { ...process.env, KVCI_STATE_DIR: state },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}: ${stdout.toString('utf8')}`);
  return { answer: JSON.parse(stdout.toString('utf8')) as unknown, seconds: (performance.now() - started) / 1000 };
}

const over: string[] = [];
function line(what: string, value: number, bound: number, unit: string): void {
  if (value > bound) over.push(what);
  process.stdout.write(`${what}: ${value.toFixed(3)}${unit} (bound ${bound.toFixed(3)}${unit}, ratio ${(value / bound).toFixed(2)})\n`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** From the command on until all machines ran: what comes before its first step is kvci's own start. */
function running(told: Up, seconds: number): number {
  const [first] = told.steps;
  const restored = told.steps.find(({ id }) => id === 'restore');
  const last = told.steps.at(-1);
  if (first === undefined || restored === undefined || last === undefined) throw new Error('no steps were told');
  const steps = (Date.parse(last.startedAt) + last.ms - Date.parse(first.startedAt)) / 1000;
  return seconds - steps + restored.ms / 1000;
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
  line('a first save stops the cluster', firstPause, FIRST_PAUSE_BOUND_S, ' s');
  line('kept, the disk of the image aside', (await bytesBelow(join(state, 'snapshot-chunks'))) / 1e6, KEPT_BOUND_MB, ' MB');
  run('down', 'bench');
  const restores: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const { answer, seconds } = run('up', 'bench', '--from-snapshot', 'bench-0');
    restores.push(seconds);
    line(`restore ${round}, all nodes running`, running(answer as Up, seconds), RUNNING_BOUND_S, ' s');
    if (round < ROUNDS) run('down', 'bench');
  }
  line('restore to Ready, of the way from disks', median(restores) / straight.seconds, READY_BOUND, '');
  const resets = Array.from({ length: ROUNDS }, () => run('reset', 'bench').seconds);
  line('reset, of a restore', median(resets) / median(restores), RESET_BOUND, '');
  const pauses = Array.from({ length: ROUNDS }, (_, at) => {
    const pause = saved('bench', `bench-${at + 1}`);
    run('snapshot', 'rm', `bench-${at + 1}`);
    run('reset', 'bench');
    return pause;
  });
  line('a save of a restored cluster stops it', median(pauses), PAUSE_BOUND_S, ' s');
  const second = run('up', 'bench-more', '--from-snapshot', 'bench-0');
  line('another cluster beside it, of the first', second.seconds / median(restores), MORE_BOUND, '');
  const { stdout } = spawnSync('sh', ['-c', 'for pid in $(pgrep qemu-system); do grep RssAnon "/proc/$pid/status"; done'], {
    encoding: 'utf8',
  });
  const own = [...stdout.matchAll(/(\d+) kB/g)].reduce((sum, [, size]) => sum + Number(size) / 1000, 0);
  line('memory of its own, each of two clusters', own / 2, OWN_MEMORY_BOUND_MB, ' MB');
} finally {
  for (const cluster of ['bench', 'bench-more']) {
    spawnSync(kvci, ['down', cluster], { env: { ...process.env, KVCI_STATE_DIR: state }, stdio: 'ignore' });
  }
  spawnSync(kvci, ['snapshot', 'rm', 'bench-0'], { env: { ...process.env, KVCI_STATE_DIR: state }, stdio: 'ignore' });
  await rm(folder, { recursive: true, force: true });
}
if (over.length > 0) {
  process.stdout.write(`over their bounds: ${over.join('; ')}\n`);
  process.exitCode = 1;
}
