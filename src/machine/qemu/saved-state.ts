import { z } from 'zod';

import { KvciError } from '../../core/errors.ts';
import type { QmpClient, QmpEvent } from './qmp.ts';

/** Where QEMU has a machine's memory in its own address space. */
export interface MemoryPlace {
  /** Decimal: it has more digits than a number holds exactly. */
  readonly address: string;
  /** Bytes. */
  readonly size: number;
  /** It is mapped from what was saved before: pages that are not the machine's own are as they are there. */
  readonly mapped: boolean;
}

/** Of `info ramblock`: the main memory is called by its board's name, or by that of the object that we make it of. */
const LINE = /^\s*(?:\/objects\/)?(pc\.ram|mach-virt\.ram|saved)\s+\d+ \w+\s+0x[0-9a-f]+\s+(0x[0-9a-f]+)\s+0x[0-9a-f]+\s+(0x[0-9a-f]+)\s/m;

/** Reads what QEMU says of its memory by `info ramblock`. @throws KvciError `qmp-refused` */
export function parseMemoryPlace(text: string): MemoryPlace {
  const [, name, size, address] = LINE.exec(text.replaceAll('\r', '')) ?? [];
  if (name === undefined || size === undefined || address === undefined) {
    throw new KvciError('failed', 'qmp-refused', 'QEMU does not tell where it has the memory of the machine');
  }
  return { address: BigInt(address).toString(), size: Number(size), mapped: name === 'saved' };
}

export async function memoryPlace(qmp: QmpClient): Promise<MemoryPlace> {
  return parseMemoryPlace(z.string().parse(await qmp.execute('human-monitor-command', { 'command-line': 'info ramblock' })));
}

/** Writes the state of all devices of a machine that stands still, processors among them, and nothing of its memory. */
export async function saveDevices(qmp: QmpClient, file: string): Promise<void> {
  await qmp.execute('xen-save-devices-state', { filename: file, live: false });
}

const blockSchema = z.array(z.object({ qdev: z.string().optional(), inserted: z.object({ 'node-name': z.string() }).optional() }));

/** Freezes a machine's disk: from now on it writes into a new child of it. Nothing happens to what it has written before. */
export async function freezeDisk(qmp: QmpClient, child: string, index: number): Promise<void> {
  const blocks = blockSchema.parse(await qmp.execute('query-block'));
  const disk = blocks.flatMap(({ inserted }) => inserted?.['node-name'] ?? []).find((name) => /^disk(-\d+)?$/.test(name));
  if (disk === undefined) throw new KvciError('failed', 'qmp-refused', 'QEMU does not tell of the disk of the machine');
  await qmp.execute('blockdev-snapshot-sync', {
    'node-name': disk,
    'snapshot-file': child,
    'snapshot-node-name': `disk-${index}`,
    format: 'qcow2',
    mode: 'absolute-paths',
  });
}

/** What tells that a machine has read its state, or could not. */
export interface Loading {
  readonly onEvent: (event: QmpEvent) => void;
  /** Rejects with what QEMU says. */
  readonly done: Promise<void>;
}

/** Listens for the end of {@link loadDevices}. */
export function loading(name: string): Loading {
  const end = Promise.withResolvers<undefined>();
  // Whoever waits for it hears of it.
  end.promise.catch(() => undefined);
  return {
    done: end.promise,
    onEvent: ({ event, data }) => {
      if (event !== 'MIGRATION') return;
      if (data['status'] === 'completed') end.resolve(undefined);
      if (data['status'] === 'failed') {
        end.reject(refused(name));
      }
    },
  };
}

/** Has a machine that waits for it read the state of its devices; it stands still after that. @throws KvciError `snapshot-refused` */
export async function loadDevices(qmp: QmpClient, name: string, file: string, { done }: Loading): Promise<void> {
  await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
  // A QEMU that ends over it says nothing more.
  const ended = qmp.closed.then(() => Promise.reject(refused(name)));
  ended.catch(() => undefined);
  await Promise.race([ended, qmp.execute('migrate-incoming', { uri: `file:${file}` }).then(() => done)]);
}

function refused(name: string): KvciError {
  return new KvciError('failed', 'snapshot-refused', `QEMU cannot read the saved state of ${name}`, {
    hint: 'It was saved by another QEMU or of another machine, or it is damaged. Start the cluster from its disks: --cold.',
    facts: { machine: name },
  });
}
