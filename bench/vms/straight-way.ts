import type { BuiltDisk } from '../../src/cli/services.ts';
import type { Digest } from '../../src/core/digest.ts';
import { parseSize } from '../../src/core/sizes.ts';
import type { Acceleration } from '../../src/machine/vm-options.ts';
import { hostArchitecture } from '../../src/wiring/host.ts';
import { vmSandboxParts } from '../../src/wiring/qemu.ts';
import { ownParts } from '../../test/fixtures/own-parts.ts';
import type { Answered } from '../lib/run-kvci.ts';
import { type StraightTimes, timeStraight } from './straight.ts';

/** Of each node; kvci's share what the host has. */
const CPUS = 2;
/** Of each node, of kvci's clusters that are compared, too. */
export const MEMORY = '2500M';

/** Two nodes of an image the straight way. @param run kvci, for the image's disk */
export async function straightWay(
  { image, kubernetes }: { readonly image: { readonly digest: Digest }; readonly kubernetes: string },
  acceleration: Acceleration,
  run: (...args: readonly string[]) => Answered,
): Promise<StraightTimes> {
  const built = run('disk', 'build', image.digest).answer as BuiltDisk;
  const { host, parts, run: context } = await ownParts(false);
  const vms = await vmSandboxParts(host, parts.sandboxes, context);
  const disk = { path: built.path, directBoot: built.directBoot, architecture: hostArchitecture() };
  const sizes = { nodes: 2, cpus: CPUS, memory: parseSize(MEMORY) };
  return timeStraight(vms, { disk, image: image.digest, kubernetes, acceleration, ...sizes });
}
