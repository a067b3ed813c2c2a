import { loadavg } from 'node:os';
import { join } from 'node:path';

import type { BuiltDisk } from '../src/cli/services.ts';
import { readTemplates } from '../src/image/sources.ts';
import type { DiskSource } from '../src/machine/qemu/disk-source.ts';
import { temporaryMappedFolder } from '../src/sandbox/mapped-folder.ts';
import { machineBench } from '../src/verify/machine-bench.ts';
import { NETWORK_CASES, type NetworkCase } from '../src/verify/network-cases.ts';
import { OWN_FOLDER } from '../src/wiring/host.ts';
import { vmSandboxParts } from '../src/wiring/qemu.ts';
import { plainDisk } from './boot/plain-disk.ts';
import { Bounds, seconds, times as ratio } from './lib/bounds.ts';
import { ownParts } from '../test/fixtures/own-parts.ts';
import { kvciIn } from './lib/run-kvci.ts';

/*
 * How long a node's disk takes from QEMU's start to an answer by SSH under emulation, against a plain Debian of the same packages that
 * may be written to: both by firmware and boot loader, and both by their kernel directly, where a node has its small initramfs. First
 * boots of new copies, in turn; the fastest of each counts. `node bench/boot.ts [IMAGE [TIMES]]`
 */

const BOUND = 1;
const [, , word = 'localhost/kvci/node:v1.31.0-debian-13', times = '3'] = process.argv;
const { host, parts, run } = await ownParts(false);
const vms = await vmSandboxParts(host, parts.sandboxes, run);

function nodeDisk(): DiskSource {
  const { path, directBoot } = kvciIn('/')('disk', 'build', word, '--converter', 'native').answer as BuiltDisk;
  return { path, directBoot };
}

/** Seconds to an answer by SSH; where they went is printed. */
async function boot(name: string, disk: DiskSource, by: NetworkCase['boot']): Promise<number> {
  const [network] = NETWORK_CASES;
  if (network === undefined) throw new Error('there is no network to boot in');
  const bench = machineBench({ vms, disk, diskSize: undefined, acceleration: 'emulation', sandbox: 'namespaces' });
  await using node = await bench.boot(name, { ...network, boot: by }, run.signal);
  const took = node.times().commands / 1000;
  await node.handle.run(['systemctl', 'is-system-running', '--wait'], { accept: [1] });
  const { stdout } = await node.handle.run(['systemd-analyze', 'time']);
  const load = (loadavg()[0] ?? 0).toFixed(1);
  process.stdout.write(`  ${name}, ${by}: ${seconds(took)}; load ${load}; ${stdout.split('\n')[0] ?? ''}\n`);
  return took;
}

const bounds = new Bounds();
await using folder = await temporaryMappedFolder(parts);
const templates = await readTemplates(join(OWN_FOLDER, 'templates'));
const disks = { node: nodeDisk(), plain: await plainDisk(folder.path, templates.get('disk/native/grub.cfg') ?? '', parts, run.signal) };
const seen = { loader: { node: [] as number[], plain: [] as number[] }, direct: { node: [] as number[], plain: [] as number[] } };
for (let round = 0; round < Number(times); round += 1) {
  for (const by of ['loader', 'direct'] as const) {
    for (const name of ['plain', 'node'] as const) seen[by][name].push(await boot(name, disks[name], by));
  }
}
for (const [by, title] of [
  ['loader', 'boot to SSH by the boot loader'],
  ['direct', 'boot to SSH by the kernel directly'],
] as const) {
  const [node, plain] = [Math.min(...seen[by].node), Math.min(...seen[by].plain)];
  bounds.most(`${title}: ${seconds(node)}, plain Debian ${seconds(plain)}`, node / plain, BOUND, ratio);
}
