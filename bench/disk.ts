import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { BuiltDisk } from '../src/cli/services.ts';
import { loadConfig } from '../src/config/load.ts';
import type { RunContext } from '../src/core/plan.ts';
import { formatSize } from '../src/core/sizes.ts';
import { DISK_KIND } from '../src/disk/build-disk.ts';
import { systemClock } from '../src/host/clock.ts';
import { diskUse } from '../src/host/files.ts';
import { locateImage } from '../src/image/locate.ts';
import { blobPath } from '../src/oci/blobs.ts';
import { readImageAt } from '../src/oci/image.ts';
import { temporaryMappedFolder } from '../src/sandbox/mapped-folder.ts';
import { hostArchitecture, hostParts } from '../src/wiring/host.ts';
import { imageParts } from '../src/wiring/images.ts';

/*
 * What native conversion costs against the same by hand with the same tools, in one run on one machine: the straight way (unpack, commit,
 * deploy, make a file system, compress), and the least that has to be done (unpack the layers, compress that very disk with zstd). Each
 * several times, the fastest counts. `node bench/disk.ts [IMAGE [TIMES]]`
 */

const STRAIGHT_TO_NATIVE = 3;
const NATIVE_TO_LEAST = 1.5;
const AGAIN_BOUND_S = 1;
const SIZE_BOUND = 400e6;
const [, , word = 'localhost/kvci/node:v1.31.0-debian-13', times = '3'] = process.argv;
const RUNS = Number(times);
const kvci = fileURLToPath(new URL('../kvci', import.meta.url));
const run: RunContext = { events: () => undefined, clock: systemClock, signal: new AbortController().signal };
const settings = {
  offline: true,
  setup: false,
  secrets: new Set<never>(),
  sinks: new Set<never>(),
  config: () => loadConfig('/', undefined),
};
const host = await hostParts(process.env, run);
const parts = await imageParts(process.env, settings, host, run);

function build(...more: readonly string[]): { readonly disk: BuiltDisk; readonly seconds: number } {
  const started = performance.now();
  const argv = ['disk', 'build', word, '--converter', 'native', ...more, '--output', 'json', '--progress', 'none'];
  const { status, stdout } = spawnSync(kvci, argv, { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  if (status !== 0) throw new Error(`kvci ${argv.join(' ')} ended with ${String(status)}`);
  return { disk: JSON.parse(stdout.toString('utf8')) as BuiltDisk, seconds: (performance.now() - started) / 1000 };
}

const over: string[] = [];
function line(what: string, value: number, bound: number, format: (value: number) => string, atLeast = false): void {
  if (atLeast ? value < bound : value > bound) over.push(what);
  process.stdout.write(
    `${what}: ${format(value)} (bound ${atLeast ? 'at least ' : ''}${format(bound)}, ratio ${(value / bound).toFixed(2)})\n`,
  );
}

const seconds = (value: number): string => `${value.toFixed(2)} s`;
const ratio = (value: number): string => `${value.toFixed(2)} times`;

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
  const straight = fastest(hands.map(({ steps }) => sum(steps.values())));
  const least = fastest(hands.map(({ steps, compress }) => (steps.get('unpack') ?? Number.NaN) + compress));
  line('straight way against native', straight / fastest(native), STRAIGHT_TO_NATIVE, ratio, true);
  line('native against unpack and compress', fastest(native) / least, NATIVE_TO_LEAST, ratio);
  line('the same disk again', fastest(Array.from({ length: RUNS }, () => build('--karg', 'kvci.bench=0').seconds)), AGAIN_BOUND_S, seconds);
  line('compressed', await diskUse(made[1]?.path ?? ''), SIZE_BOUND, formatSize);
} finally {
  for (const artifact of await host.store.list()) {
    if (artifact.kind === DISK_KIND && made.some(({ key }) => key === artifact.key)) await host.store.remove(artifact);
  }
}
process.exitCode = over.length > 0 ? 1 : 0;
