import { access, constants } from 'node:fs/promises';

import { hasErrno } from '../../core/errors.ts';
import { formatSize } from '../../core/sizes.ts';
import type { HostCheck, HostProblem } from '../../host/types.ts';
import { emulationNote, type KvmVerdict } from './kvm.ts';

/** Whether this user may open a device. */
export type DeviceState = 'usable' | 'closed' | 'absent';

export interface VmCheckSettings {
  /** The command at hand needs machines; else who builds images needs none. */
  readonly required: boolean;
  /** What is remembered of KVM on this boot of the host. */
  readonly verdict: () => Promise<KvmVerdict | undefined>;
  /** Bytes that are available. */
  readonly memory: () => Promise<number>;
  /** The file that UEFI is in, and whether the tools image has it; undefined where there is no tools image yet. */
  readonly firmware: () => Promise<{ readonly path: string; readonly there: boolean } | undefined>;
}

/** Of a control plane, the least that is asked for, and what QEMU itself takes. */
const LEAST_MEMORY = 2.15e9;

/** What virtual machines need of the host, beside what sandboxes do. */
export function vmChecks({ required, verdict, memory, firmware }: VmCheckSettings): HostCheck[] {
  return [
    { id: 'tun', title: '/dev/net/tun', run: async () => tunProblem(await deviceState('/dev/net/tun'), required) },
    {
      id: 'kvm',
      title: 'KVM',
      run: async () => kvmProblem(await deviceState('/dev/kvm'), await verdict()),
      found: async () => (await verdict())?.reason ?? 'there; whether a kernel starts under it is tried by the first machine',
    },
    {
      id: 'vm-memory',
      title: 'memory for virtual machines',
      run: async () => memoryProblem(await memory()),
      found: async () => `${formatSize(await memory())} available`,
    },
    {
      id: 'firmware',
      title: 'firmware of virtual machines',
      run: async () => firmwareProblem(await firmware()),
      found: async () => (await firmware())?.path ?? 'comes with the tools image',
    },
  ];
}

/** Machines take what they are given, and start with less only as long as nobody runs a control plane in them. */
export function memoryProblem(available: number): HostProblem | undefined {
  if (available >= LEAST_MEMORY) return undefined;
  const message = `${formatSize(available)} of memory are available: a control plane that is a virtual machine needs ${formatSize(LEAST_MEMORY)}`;
  return { level: 'warning', message };
}

/** kvci's own disks are booted by their kernel; all others by UEFI. */
export function firmwareProblem(found: { readonly path: string; readonly there: boolean } | undefined): HostProblem | undefined {
  if (found?.there !== false) return undefined;
  const message = `the tools image has no UEFI firmware (${found.path}): disks that kvci has not made cannot be booted by it`;
  return { level: 'warning', message: `${message} ("kvci cache prune" has the image made anew)` };
}

export function tunProblem(state: DeviceState, required: boolean): HostProblem | undefined {
  if (state === 'usable') return undefined;
  return {
    level: required ? 'error' : 'warning',
    message: `/dev/net/tun ${state === 'absent' ? 'does not exist' : 'is closed to this user'}: virtual machines need it, images do not`,
    commands: [state === 'absent' ? ['modprobe', 'tun'] : ['chmod', '0666', '/dev/net/tun']],
  };
}

/** Machines are emulated without it, which is slow and works. */
export function kvmProblem(state: DeviceState, verdict: KvmVerdict | undefined): HostProblem | undefined {
  if (state === 'absent')
    return { level: 'warning', message: 'this host has no KVM: virtual machines are emulated, which is about ten times as slow' };
  if (state === 'closed') {
    return {
      level: 'warning',
      message: '/dev/kvm is closed to this user: virtual machines are emulated, which is about ten times as slow',
      commands: [['chmod', '0666', '/dev/kvm']],
    };
  }
  return verdict?.usable === false ? { level: 'warning', message: emulationNote(verdict.reason) } : undefined;
}

/** Whether this user may open a device of the host. */
export async function deviceState(path: string): Promise<DeviceState> {
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return 'usable';
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return 'absent';
    if (hasErrno(error, 'EACCES', 'EPERM')) return 'closed';
    throw error;
  }
}
