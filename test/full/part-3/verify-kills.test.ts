import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { chooseDirectories } from '../../../src/host/directories.ts';
import { kvci, REPOSITORY, type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { until } from '../../fixtures/traces.ts';

/*
 * kill -9 of kvci at random moments of what makes and boots disks: the next `kvci prune` leaves no process, namespace, mount or
 * file of it. KVCI_TEST_SEED has the moments of an earlier run again.
 */

const SEED = Number(process.env['KVCI_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const MOMENTS = 20;

/** mulberry32: numbers from 0 to 1 that are the same for the same seed. */
function* random(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    yield ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** What one of these commands could leave, each thing a line. */
interface Leavings {
  readonly processes: readonly string[];
  readonly namespaces: readonly string[];
  readonly mounts: readonly string[];
  readonly files: readonly string[];
}

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let state: string;
let image: Digest;

/** The cache is that of whoever runs the tests: it holds the image and the tools. The state is the test's own. */
const { cache } = chooseDirectories({ home: homedir(), xdgCacheHome: process.env['XDG_CACHE_HOME'], cache: process.env['KVCI_CACHE_DIR'] });

function environment(): Readonly<Record<string, string>> {
  return { KVCI_STATE_DIR: state, KVCI_RUNTIME_DIR: join(folder.path, 'run') };
}

async function leavings(): Promise<Leavings> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  // Not user namespaces: a process that has ended keeps its own until it is waited for.
  const namespaces = await Promise.all(
    pids.flatMap((pid) => ['mnt', 'net', 'pid'].map((kind) => readlink(`/proc/${pid}/ns/${kind}`).catch(() => ''))),
  );
  const places = [
    join(cache, 'temporary'),
    join(cache, 'machines'),
    join(state, 'ledger'),
    join(state, 'machines'),
    join(folder.path, 'run'),
  ];
  const files = await Promise.all(places.map((place) => readdir(place, { recursive: true }).catch(() => [])));
  return {
    processes: commands.filter((line) => /qemu|dnsmasq|haproxy|mke2fs|podman|conmon/.test(line.split('\0')[0] ?? '')).toSorted(),
    namespaces: [...new Set(namespaces)].toSorted(),
    mounts: (await readFile('/proc/self/mounts', 'utf8')).trimEnd().split('\n').toSorted(),
    // Locks stay: removing one under waiters would let two hold it.
    files: files.flatMap((names, index) => names.filter((name) => !name.endsWith('.lock')).map((name) => join(places[index] ?? '', name))),
  };
}

/** What is there now and was not before. */
function more(after: Leavings, before: Leavings): Leavings {
  const added = (kind: keyof Leavings): readonly string[] => after[kind].filter((line) => !before[kind].includes(line));
  return { processes: added('processes'), namespaces: added('namespaces'), mounts: added('mounts'), files: added('files') };
}

const NOTHING: Leavings = { processes: [], namespaces: [], mounts: [], files: [] };

/** Runs kvci and kills it after a while, if it has not ended before. */
function killed(args: readonly string[], afterMs: number): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn(join(REPOSITORY, 'kvci'), args, {
      cwd: folder.path,
      env: { ...process.env, ...environment() },
      stdio: 'ignore',
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

beforeAll(async () => {
  process.stderr.write(`KVCI_TEST_SEED=${SEED}\n`);
  folder = await temporaryFolder();
  state = join(folder.path, 'state');
  // The folder of all sandboxes stays, as in a host's runtime directory.
  await mkdir(join(folder.path, 'run', 'sandbox'), { recursive: true, mode: 0o700 });
  image = (await nodeImage('1.31')).digest;
  // What is killed is to be killed in its own work: the disk of the verification is there.
  const built = await kvci(['disk', 'build', image], { cwd: folder.path, env: environment() });
  expect(built.code, built.stderr).toBe(0);
});

afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

/** Most of what a command starts, it starts early: half of the moments are in its first fifth. */
function momentOf(place: number, longest: number): number {
  return longest * (place < 0.5 ? place * 0.4 : 0.2 + (place - 0.5) * 1.6);
}

const numbers = random(SEED);
const WORKS = [
  // Each with a kernel argument of its own: a disk that no run before has made.
  { what: 'disk build', args: (index: number) => ['disk', 'build', image, '--karg', `kvci.test=${SEED}.${index}`], longest: 40_000 },
  { what: 'image verify', args: () => ['image', 'verify', image, '--report', join(folder.path, 'report.json')], longest: 240_000 },
  { what: 'image verify --as container', args: () => ['image', 'verify', image, '--as', 'container'], longest: 25_000 },
] as const;
const moments = Array.from({ length: MOMENTS }, (_, index) => {
  const work = WORKS[index % WORKS.length] ?? WORKS[0];
  return { index, work, name: work.what, ms: Math.round(momentOf(numbers.next().value, work.longest)) };
});

it.each(moments)('$name killed after $ms ms', async ({ index, work, ms }) => {
  const prune = (): Promise<Run> => kvci(['prune'], { cwd: folder.path, env: environment() });
  const before = await leavings();
  await killed(work.args(index), ms);
  const pruned = await prune();
  expect(pruned.code, pruned.stderr).toBe(0);
  // The kernel ends what a killed process held a moment after it.
  let left = NOTHING;
  await until(async () => {
    left = more(await leavings(), before);
    return Object.values(left).every((lines: readonly string[]) => lines.length === 0);
  }).catch(() => undefined);
  expect(left).toEqual(NOTHING);
});
