import { randomBytes } from 'node:crypto';

import { type Digest, isDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { Reaper } from '../host/ledger.ts';
import type { Ledger } from '../host/types.ts';
import type { MachineProvider, Machines, MachinesSpec } from '../machine/types.ts';
import type { TestBench } from './bench.ts';

/** Of the entry that leads `prune` to what a killed verification left. */
const KIND = 'verification';

export interface ContainerBenchParts {
  readonly provider: MachineProvider;
  readonly image: Digest;
  /** Socket of the engine that the provider's nodes are in; undefined for kvci's own. */
  readonly engine: string | undefined;
  readonly ledger: Ledger;
  readonly run: RunContext;
}

/** Nodes as containers, in a network of their own. All of it goes with the bench, or by `prune`. */
export async function openContainerBench({
  provider,
  image,
  engine,
  ledger,
  run,
}: ContainerBenchParts): Promise<TestBench & AsyncDisposable> {
  const id = randomBytes(4).toString('hex');
  const spec: MachinesSpec = { cluster: `verify-${id}`, run: id, image };
  const { entry } = await ledger.enter(KIND, { ...spec, ...(engine === undefined ? {} : { engine }) });
  const close = async (machines: Machines | undefined): Promise<void> => {
    await using _machines = machines;
    await machines?.destroy();
    // Not before: what is still there is found by it.
    await ledger.forget(entry);
  };
  let machines: Machines | undefined;
  try {
    machines = await provider.machines(spec);
    await machines.network(['ipv4', 'ipv6'], run.signal);
  } catch (error) {
    await close(machines);
    throw error;
  }
  return { ...containerBench(machines, run), [Symbol.asyncDispose]: () => close(machines) };
}

function containerBench(machines: Machines, { clock }: RunContext): TestBench {
  return {
    boot: async (name, _network, signal) => {
      let commands = 0;
      const start = async (): ReturnType<Machines['start']> => {
        const began = clock.monotonic();
        // Whichever addresses the engine gives.
        const handle = await machines.start({ name, addresses: {} }, signal);
        commands = clock.monotonic() - began;
        return handle;
      };
      const handle = await start();
      return {
        handle,
        times: () => ({ commands }),
        reboot: async (stopSignal) => {
          await machines.stop(name, stopSignal);
          await start();
        },
        [Symbol.asyncDispose]: () => machines.remove(name),
      };
    },
  };
}

/** What `prune` removes of this room: nodes of verifications whose kvci is gone. */
export function verifyReaper(provider: (engine: string | undefined) => Promise<MachineProvider>): Reaper {
  return {
    kind: KIND,
    describe: ({ cluster }) => `nodes of the verification ${String(cluster)}`,
    reap: async (resource) => {
      const { engine } = resource;
      await using containers = await provider(typeof engine === 'string' ? engine : undefined);
      await using machines = await containers.machines(specOf(resource));
      await machines.destroy();
    },
  };
}

function specOf(resource: Parameters<Reaper['reap']>[0]): MachinesSpec {
  const { cluster, run, image } = resource;
  if (typeof cluster === 'string' && typeof run === 'string' && typeof image === 'string' && isDigest(image))
    return { cluster, run, image };
  throw new KvciError('failed', 'bad-ledger-entry', 'the entry of a verification does not name its nodes');
}
