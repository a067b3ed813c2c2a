import { loadavg } from 'node:os';
import { join } from 'node:path';

import type { BuiltDisk } from '../src/cli/services.ts';
import { formatSize } from '../src/core/sizes.ts';
import { DISK_KIND } from '../src/disk/build-disk.ts';
import { diskUse } from '../src/host/files.ts';
import { locateImage } from '../src/image/locate.ts';
import { blobPath } from '../src/oci/blobs.ts';
import { readImageAt } from '../src/oci/image.ts';
import { temporaryMappedFolder } from '../src/sandbox/mapped-folder.ts';
import { hostArchitecture } from '../src/wiring/host.ts';
import { Bounds, median, seconds, times as ratio } from './lib/bounds.ts';
import { ownParts } from '../test/fixtures/own-parts.ts';
import { kvciIn, peakMemory } from './lib/run-kvci.ts';

/*
 * What native conversion costs against the same by hand with the same tools, in one run on one machine: the straight way (unpack, commit,
 * deploy, make a file system, compress), and the least that has to be done (unpack the layers, compress that very disk with zstd). In
 * rounds: what one leaves for the disk to write, the next waits for, so that a round is compared with itself and the median round counts.
 * `node bench/disk.ts [IMAGE [TIMES]]`
 */

const STRAIGHT_TO_NATIVE = 3;
const NATIVE_TO_LEAST = 1.5;
const AGAIN_BOUND_S = 1;
const SIZE_BOUND = 400e6;
const MEMORY_BOUND = 300e6;
const [, , word = 'localhost/kvci/node:v1.31.0-debian-13', times = '5'] = process.argv;
const RUNS = Number(times);
const { host, parts, run } = await ownParts(true);
const bounds = new Bounds();

function build(...more: readonly string[]): { readonly disk: BuiltDisk; readonly seconds: number } {
  const built = kvciIn('/')('disk', 'build', word, '--converter', 'native', ...more);
  return { disk: built.answer as BuiltDisk, seconds: built.seconds };
}

/** By hand, in the order of the steps; each runs in an empty folder where the ones before it have worked. */
const UNPACK = 'mkdir root && for layer in $LAYERS; do zstd -dc "$layer" | tar -x --xattrs --xattrs-include="*" -C root; done';
const STRAIGHT: readonly (readonly [string, string])[] = [
  ['unpack', UNPACK],
  [
    'ostree commit',
    'mv root/etc root/usr/etc && rm -rf root/var root/run root/tmp && mkdir root/var && mkdir sysroot && ostree admin init-fs --modern sysroot && ' +
      'ostree admin os-init --sysroot=sysroot kvci && ostree commit --repo=sysroot/ostree/repo -b kvci/node --tree=dir=root',
  ],
  [
    'ostree admin deploy',
    'ostree config --repo=sysroot/ostree/repo set sysroot.bootloader none && ostree admin deploy --sysroot=sysroot --os=kvci kvci/node',
  ],
  ['mkfs.ext4 -d', 'truncate -s 10G disk.raw && mkfs.ext4 -q -d sysroot disk.raw'],
  ['qemu-img convert -c', 'qemu-img convert -c -O qcow2 disk.raw disk.qcow2'],
  ['clean up', 'chattr -i sysroot/ostree/deploy/kvci/deploy/*.0; rm -rf root sysroot disk.raw disk.qcow2'],
];

async function byHand(raw: string): Promise<{ readonly steps: ReadonlyMap<string, number>; readonly compress: number }> {
  const { layout, descriptor } = await locateImage(await parts.layout(), word);
  const { manifest } = await readImageAt(layout, descriptor, hostArchitecture());
  await using folder = await temporaryMappedFolder(parts);
  const binds = [
    { host: layout.path, inside: layout.path, writable: false },
    { host: join(raw, '..'), inside: '/made', writable: false },
    { host: folder.path, inside: '/work', writable: true },
  ];
  await using sandbox = await parts.sandboxes.start({ name: 'bench', binds, network: 'private', cgroups: false, signal: run.signal });
  const env = { LAYERS: manifest.layers.map(({ digest }) => blobPath(layout, digest)).join(' ') };
  const timed = async (script: string): Promise<number> => {
    const { ms } = await sandbox.run(['sh', '-euc', script], { cwd: '/work', env });
    return ms / 1000;
  };
  const steps = new Map<string, number>();
  for (const [name, script] of STRAIGHT) steps.set(name, await timed(script));
  steps.delete('clean up');
  const compress = await timed('qemu-img convert -c -m 2 -W -O qcow2 -o compression_type=zstd /made/disk.raw zstd.qcow2 && rm zstd.qcow2');
  return { steps, compress };
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const fastest = (values: readonly number[]): number => Math.min(...values);

const made: BuiltDisk[] = [];
try {
  // Not timed: brings what all of them read into memory.
  const raw = build('--format', 'raw', '--karg', 'kvci.bench=raw').disk;
  made.push(raw);
  const native: number[] = [];
  const hands: Awaited<ReturnType<typeof byHand>>[] = [];
  for (let index = 0; index < RUNS; index += 1) {
    process.stdout.write(`load before: ${(loadavg()[0] ?? 0).toFixed(1)}\n`);
    const built = build('--karg', `kvci.bench=${index}`);
    made.push(built.disk);
    native.push(built.seconds);
    const hand = await byHand(raw.path);
    hands.push(hand);
    const steps = [...hand.steps].map(([name, took]) => `${name} ${seconds(took)}`).join(', ');
    process.stdout.write(`  native ${seconds(built.seconds)}; ${steps}; convert -c -m 2 -W zstd ${seconds(hand.compress)}\n`);
  }
  const straight = hands.map(({ steps }, at) => sum(steps.values()) / (native[at] ?? Number.NaN));
  const least = hands.map(({ steps, compress }, at) => (native[at] ?? Number.NaN) / ((steps.get('unpack') ?? Number.NaN) + compress));
  const each = (values: readonly number[]): string => values.map((value) => value.toFixed(2)).join(', ');
  process.stdout.write(`of each round: straight way against native ${each(straight)}; native against unpack and compress ${each(least)}\n`);
  bounds.least('straight way against native', median(straight), STRAIGHT_TO_NATIVE, ratio);
  bounds.most('native against unpack and compress', median(least), NATIVE_TO_LEAST, ratio);
  bounds.most(
    'the same disk again',
    fastest(Array.from({ length: RUNS }, () => build('--karg', 'kvci.bench=0').seconds)),
    AGAIN_BOUND_S,
    seconds,
  );
  const peak = peakMemory('/', 'disk', 'build', word, '--converter', 'native', '--karg', 'kvci.bench=peak');
  made.push(build('--karg', 'kvci.bench=peak').disk);
  bounds.most("memory of kvci's process", peak, MEMORY_BOUND, formatSize);
  bounds.most('compressed', await diskUse(made[1]?.path ?? ''), SIZE_BOUND, formatSize);
} finally {
  for (const artifact of await host.store.list()) {
    if (artifact.kind === DISK_KIND && made.some(({ key }) => key === artifact.key)) await host.store.remove(artifact);
  }
}
