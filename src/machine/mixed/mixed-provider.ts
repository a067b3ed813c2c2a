import type { NodeEngine } from '../../sandbox/node-engine.ts';
import type { DiskSource } from '../qemu/disk-source.ts';
import type { VmDisks } from '../qemu/vm-provider.ts';
import { vmMachines } from '../qemu/vm-machines.ts';
import type { VmSandboxParts } from '../qemu/vm-sandbox.ts';
import { knownByName } from '../node-names.ts';
import type { MachineProvider } from '../types.ts';
import { enginePlaces } from './engine-places.ts';
import { mixedMachines } from './mixed-machines.ts';

export interface MixedProviderParts {
  /** Nodes that are containers of kvci's own engine. */
  readonly containers: MachineProvider;
  readonly vms: VmSandboxParts;
  readonly disks: VmDisks;
  /** Starts kvci's own engine, or finds it; each answer is let go of on its own. */
  readonly openEngine: () => Promise<NodeEngine>;
  readonly signal: AbortSignal;
}

/** Nodes of both kinds in one cluster. */
export function mixedProvider({ containers, vms, disks, openEngine, signal }: MixedProviderParts): MachineProvider {
  return {
    name: 'mixed',
    prepare: async (image, onLine, until) => {
      if (!(await containers.hasImage(image))) await containers.prepare(image, onLine, until);
      await disks.make(image, onLine, until);
    },
    hasImage: async (image) => (await containers.hasImage(image)) && (await disks.find(image, signal)) !== undefined,
    machines: async (spec) => {
      const engine = await openEngine();
      const beside = await containers.machines(spec);
      const parts = { ...vms, engine, network: () => beside.network([], signal) };
      const disk = (): Promise<DiskSource> => disks.make(spec.image, () => undefined, signal);
      const machines = knownByName(
        mixedMachines(
          beside,
          vmMachines(vms, disk, spec, (records) => enginePlaces(parts, records)),
        ),
      );
      return {
        ...machines,
        [Symbol.asyncDispose]: async () => {
          await machines[Symbol.asyncDispose]();
          await engine[Symbol.asyncDispose]();
        },
      };
    },
    [Symbol.asyncDispose]: () => containers[Symbol.asyncDispose](),
  };
}
