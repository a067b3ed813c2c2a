import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { z } from 'zod';

import type { Digest } from '../src/core/digest.ts';
import { formatSize } from '../src/core/sizes.ts';
import { ACCELERATIONS } from '../src/machine/vm-options.ts';
import { besideQemu } from '../test/fixtures/vm-memory.ts';
import { Bounds, seconds, times } from './lib/bounds.ts';
import { kvciIn, removeClusters, textOf } from './lib/run-kvci.ts';
import { MEMORY, straightWay } from './vms/straight-way.ts';

/*
 * How long clusters of virtual machines take, from disks that are there:
 *
 *   two     two nodes to Ready by kvci, against the straight way in the same machines (bench/vms/straight.ts)
 *   memory  what the cluster of two takes beside QEMU while it runs
 *   four    four nodes against two
 *   mixed   a control plane that is a container, with one virtual machine as its worker
 *   rounds  bring-ups of two nodes, one after the other, without a failure; only where --rounds gives their number
 *
 * `node bench/vms.ts [--only two,mixed] [--k8s 1.36] [--rounds 10] [--acceleration emulation]`, on a quiet host: emulated, all of it but
 * the rounds takes about half an hour.
 */

const STRAIGHT_BOUND = 0.7;
const FOUR_TO_TWO_BOUND = 1.8;
const MIXED_BOUND_S = 100;
const BESIDE_QEMU_BOUND = 150e6;
/** The straight way's steps may take this much longer than the reference's did on a quiet machine; then it was not quiet. */
const REFERENCE_BOUND = 1.3;
/** Seconds on two quiet cores without KVM. A join was taken right after an init; what is Ready after it was not taken cleanly. */
const REFERENCE: Readonly<Record<string, number>> = {
  'boot node01': 35,
  'kubeadm init': 110.5,
  'boot node02': 37.3,
  'kubeadm join node02': 33.3,
};

const PARTS = ['two', 'memory', 'four', 'mixed', 'rounds'] as const;
const TAG = 'localhost/kvci-bench/node:latest';
const NAMES = { two: 'bench-vms-two', four: 'bench-vms-four', mixed: 'bench-vms-mixed', rounds: 'bench-vms-round' } as const;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'two,memory,four,mixed' },
    k8s: { type: 'string', default: '1.36' },
    rounds: { type: 'string', default: '0' },
    acceleration: { type: 'string', default: 'auto' },
  },
});
const acceleration = z.enum(ACCELERATIONS).parse(values.acceleration);
const rounds = Number(values.rounds);
const only = [...values.only.split(','), ...(rounds > 0 ? ['rounds'] : [])];
const unknown = only.find((name) => !PARTS.some((part) => part === name));
if (unknown !== undefined) throw new Error(`there is no part "${unknown}": ${PARTS.join(', ')}`);
const wants = (...parts: readonly (typeof PARTS)[number][]): boolean => parts.some((part) => only.includes(part));

const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));
const run = kvciIn(folder);
const bounds = new Bounds();

interface Up {
  readonly nodesReadyMs: number;
  readonly readyMs: number;
  readonly kubernetes: string;
  readonly image: { readonly digest: Digest };
}

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
const load = (): string => `load before ${(loadavg()[0] ?? 0).toFixed(1)}`;

/** The whole command counts. Prints where its time went. */
function up(name: string, nodes: number, ...more: readonly string[]): Up & { readonly seconds: number } {
  const before = load();
  const sizes = ['--memory', MEMORY, '--acceleration', values.acceleration];
  const args = ['--image', TAG, '--provider', 'vm', '--nodes', String(nodes), '--timeout', '60m'];
  const { answer, seconds: took } = run('up', name, ...args, ...(more.length === 0 ? sizes : more));
  print(`${name}: Ready after ${seconds(took)}; ${before}`);
  print(textOf(folder, 'timeline', name));
  return { ...(answer as Up), seconds: took };
}

async function straight(two: Up): Promise<number> {
  const before = load();
  const told = await straightWay(two, acceleration, run);
  print(`the straight way: Ready after ${seconds(told.ready)}, nodes after ${seconds(told.nodesReady)}; ${before}`);
  for (const { title, took } of told.steps) {
    const reference = REFERENCE[title];
    const beside = reference === undefined ? '' : ` (reference ${seconds(reference)}, ratio ${(took / reference).toFixed(2)})`;
    print(`  ${title}: ${seconds(took)}${beside}`);
  }
  const slower = told.steps.filter(({ title, took }) => took > (REFERENCE[title] ?? Infinity) * REFERENCE_BOUND);
  if (slower.length > 0)
    print(`  slower than the reference, as on a host that is not quiet: ${slower.map(({ title }) => title).join(', ')}`);
  return told.ready;
}

try {
  run('image', 'build', '--k8s', values.k8s, '--payload', 'modules', '--tag', TAG);
  // As "up" makes it, before anything is timed.
  run('disk', 'build', TAG);

  const two = wants('two', 'memory', 'four') ? up(NAMES.two, 2) : undefined;
  if (two !== undefined && wants('memory')) {
    const { bytes, node } = await besideQemu(NAMES.two);
    bounds.most('memory beside QEMU', bytes, BESIDE_QEMU_BOUND, formatSize);
    bounds.most('Node processes that stay', node.length, 0, String);
  }
  removeClusters(folder, [NAMES.two]);
  // After kvci: what is in the host's caches by then helps the straight way only.
  if (two !== undefined && wants('two')) {
    bounds.most('two nodes against the straight way', two.seconds / (await straight(two)), STRAIGHT_BOUND, times);
  }
  if (two !== undefined && wants('four')) {
    const four = up(NAMES.four, 4);
    removeClusters(folder, [NAMES.four]);
    bounds.most('four nodes against two', four.seconds / two.seconds, FOUR_TO_TWO_BOUND, times);
  }
  if (wants('mixed')) {
    // Brings the image to where containers start from, and keeps their engine running.
    run('up', 'bench-vms-warm', '--image', TAG, '--provider', 'kind', '--engine', 'embedded');
    const mixed = up(NAMES.mixed, 2, '--control-plane-provider', 'kind');
    bounds.most('a container with a virtual machine', mixed.seconds, MIXED_BOUND_S, seconds);
  }
  removeClusters(folder, [NAMES.mixed, 'bench-vms-warm']);
  let failures = 0;
  for (let round = 1; round <= rounds; round += 1) {
    try {
      up(NAMES.rounds, 2);
    } catch (error) {
      failures += 1;
      print(String(error));
    }
    removeClusters(folder, [NAMES.rounds]);
  }
  if (rounds > 0) bounds.most(`failures of ${rounds} bring-ups`, failures, 0, String);
} finally {
  removeClusters(folder, [...Object.values(NAMES), 'bench-vms-warm']);
  await rm(folder, { recursive: true, force: true });
}
// Sessions of machines that are gone would keep it waiting.
process.exit();
