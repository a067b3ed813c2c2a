import type { Digest } from '../../core/digest.ts';
import { knownByName } from '../node-names.ts';
import type { MachineProvider } from '../types.ts';
import { type DiskSource, filesOfDisk } from './disk-source.ts';
import { vmMachines } from './vm-machines.ts';
import type { VmSandboxParts } from './vm-sandbox.ts';

/** The disks that machines are made of, one an image. */
export interface VmDisks {
  /** The disk of an image, if it has been made. */
  find(image: Digest, signal: AbortSignal): Promise<DiskSource | undefined>;
  /** Makes it; cheap when it is there. */
  make(image: Digest, onLine: (line: string) => void, signal: AbortSignal): Promise<DiskSource>;
}

export interface VmProviderParts {
  readonly vms: VmSandboxParts;
  readonly disks: VmDisks;
  /** For a disk that is made in the middle of other work. */
  readonly signal: AbortSignal;
}

/** Nodes as virtual machines: their own kernel, devices and memory. */
export function vmProvider({ vms, disks, signal }: VmProviderParts): MachineProvider {
  return {
    name: 'vm',
    prepare: async (image, onLine, until) => {
      await disks.make(image, onLine, until);
    },
    hasImage: async (image) => (await disks.find(image, signal)) !== undefined,
    filesOf: async (image, until) => filesOfDisk(await disks.make(image, () => undefined, until)),
    machines: (spec) => Promise.resolve(knownByName(vmMachines(vms, () => disks.make(spec.image, () => undefined, signal), spec))),
    // It holds nothing of the host: machines live in sandboxes of their own.
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
