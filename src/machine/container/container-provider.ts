import type { Clock } from '../../core/clock.ts';
import type { EventSink } from '../../core/events.ts';
import type { Tar } from '../../host/tar.ts';
import type { MachineProvider } from '../types.ts';
import { containerMachines } from './container-machines.ts';
import type { NodeHost } from './node-host.ts';

export interface ContainerProviderParts {
  /** Connects to the engine, started first where it is kvci's own; each answer is let go of on its own. */
  readonly openHost: () => Promise<NodeHost>;
  readonly clock: Clock;
  readonly events: EventSink;
  readonly tar: Tar;
}

/** Nodes as containers: real Kubernetes where no VM can run fast. */
export function containerProvider(parts: ContainerProviderParts): MachineProvider {
  // Kept until the provider is let go of: the engine would end between two uses.
  let opened: Promise<NodeHost> | undefined;
  const host = (): Promise<NodeHost> => (opened ??= parts.openHost());
  return {
    name: 'kind',
    prepare: async (image, onLine, signal) => {
      const engine = await host();
      if (!(await engine.hasImage(image))) await engine.bringImage(image, onLine, signal);
    },
    hasImage: async (image) => (await host()).hasImage(image),
    machines: async (spec) => containerMachines(parts, await parts.openHost(), spec),
    [Symbol.asyncDispose]: async () => {
      // One that never opened holds nothing.
      const engine = await opened?.catch(() => undefined);
      await engine?.[Symbol.asyncDispose]();
    },
  };
}
