import type { BootedMachine, ListedMachine } from '../services.ts';
import { facts, table } from './table.ts';

export function formatBooted({ name, accelerator, firmware, addresses, sshMs, running }: BootedMachine): string {
  if (!running) return '';
  return facts([
    [
      'Machine',
      `${name}, ${accelerator === 'kvm' ? 'KVM' : 'emulated'}, ${firmware === 'direct' ? 'kernel started directly' : firmware.toUpperCase()}`,
    ],
    ...(sshMs === undefined
      ? []
      : [['SSH', `after ${(sshMs / 1000).toFixed(1)} s, at ${Object.values(addresses).join(' and ')} in its own network`] as const]),
    ['Enter', `kvci disk ssh ${name}`],
    ['End', `kvci disk boot --end ${name}`],
  ]);
}

export function formatMachines(machines: readonly ListedMachine[]): string {
  if (machines.length === 0) return 'There is no machine; boot a disk with "kvci disk boot --keep DISK".';
  return table(
    ['NAME', 'STATE', 'DISK', 'ADDRESSES', 'STARTED'],
    machines.map(({ name, running, source, addresses, createdAt }) => [
      name,
      running ? 'running' : 'ended',
      source,
      Object.values(addresses).join(', '),
      createdAt.slice(0, 16).replace('T', ' '),
    ]),
  );
}
