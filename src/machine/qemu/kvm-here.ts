import { randomBytes } from 'node:crypto';

import { KvciError, messageOf } from '../../core/errors.ts';
import { deviceState } from './checks.ts';
import { type DiskSource, filesOfDisk } from './disk-source.ts';
import { readVerdict, TRIAL_SIZE } from './kvm.ts';
import { acceleratorFor } from './start-vm.ts';
import { startVmSandbox, type VmSandboxParts } from './vm-sandbox.ts';

/** A machine that can be tried. */
export interface Trial {
  readonly vms: VmSandboxParts;
  readonly disk: DiskSource;
}

/**
 * Whether virtual machines would have KVM here, and why: by the device, by what is remembered of this boot of the host, and where
 * neither tells by a trial.
 *
 * @param trial asked only for a trial @throws KvciError what making the disk throws, `cancelled`
 */
export async function kvmHere(
  state: string,
  trial: () => Promise<Trial>,
  signal: AbortSignal,
): Promise<{ readonly usable: boolean; readonly reason: string }> {
  const device = await deviceState('/dev/kvm');
  if (device === 'absent') return { usable: false, reason: 'this host has no KVM' };
  if (device === 'closed') return { usable: false, reason: '/dev/kvm is closed to this user' };
  const remembered = await readVerdict(state);
  if (remembered !== undefined) return judged(remembered);
  const parts = await trial();
  try {
    await tryMachine(parts, signal);
  } catch (error) {
    // Containers may run where a machine cannot even be tried.
    if (signal.aborted || !(error instanceof KvciError)) throw error;
    return { usable: false, reason: `whether KVM can be used could not be tried: ${messageOf(error)}` };
  }
  const found = await readVerdict(state);
  return found === undefined ? { usable: false, reason: 'KVM is closed to sandboxes, or a trial of it told nothing' } : judged(found);
}

function judged({ usable, reason }: { readonly usable: boolean; readonly reason: string }) {
  return { usable, reason: usable ? reason : `KVM is there but cannot be used: ${reason}` };
}

async function tryMachine({ vms, disk }: Trial, signal: AbortSignal): Promise<void> {
  // Whoever asks tells what came of it.
  const parts = { ...vms, events: () => undefined };
  const name = `kvm-trial-${randomBytes(3).toString('hex')}`;
  const lan = { families: ['ipv4'], routerAdvertisements: false, dhcpDelaySeconds: 0 } as const;
  await using sandbox = await startVmSandbox(parts, { name, source: 'a trial of KVM', lan, files: filesOfDisk(disk), keep: false, signal });
  const firmware = disk.directBoot === undefined ? 'uefi' : 'direct';
  const spec = {
    name,
    addresses: {},
    ...TRIAL_SIZE,
    disk,
    firmware,
    acceleration: 'auto',
    kernelArguments: [],
    hostKey: 'own',
  } as const;
  await acceleratorFor(parts, sandbox, spec, signal);
}
