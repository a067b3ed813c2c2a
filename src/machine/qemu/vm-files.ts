import { basename, join } from 'node:path';

import { MACHINES_INSIDE } from './launch-vm-sandbox.ts';
import { qemuSockets, type QemuSockets } from './qemu-arguments.ts';
import type { VmSandboxRecord } from './vm-record.ts';

/** Where a machine's sockets and credentials are, in memory of the sandbox. */
export function vmFolder(name: string): string {
  return `/run/kvci/vm/${name}`;
}

/** Where this host has what a machine wrote to its console, also when it has ended. */
export function consoleFile({ folder }: Pick<VmSandboxRecord, 'folder'>, name: string): string {
  return join(folder, name, 'console.log');
}

/** Where a machine's screen is seen, in the sandbox. */
export function vncInside(name: string): string {
  return `${MACHINES_INSIDE}/${name}/vnc.sock`;
}

/** The same for this host. */
export function vncSocket({ folder }: Pick<VmSandboxRecord, 'folder'>, name: string): string {
  return join(folder, name, 'vnc.sock');
}

export function socketsOf(name: string): QemuSockets {
  return qemuSockets(vmFolder(name), `${MACHINES_INSIDE}/${name}/console.log`);
}

/**
 * Where a machine's folder has what it was saved as: one that is written down with it counts, so that those of a cluster change from one
 * save to the next all at once.
 *
 * @param snapshot the folder that it was saved to
 */
export function savedFolder(snapshot: string): string {
  return `saved-${basename(snapshot)}`;
}

/** What a machine was saved as, in the sandbox: its memory and its devices. @param folder of {@link savedFolder} */
export function savedFiles(name: string, folder: string): { readonly folder: string; readonly memory: string; readonly devices: string } {
  const path = `${MACHINES_INSIDE}/${name}/${folder}`;
  return { folder: path, memory: `${path}/memory`, devices: `${path}/devices` };
}

/** The disks of a machine, each the child of the one before: the last is written, the others are as they were when it was saved. */
export function diskName(index: number): string {
  return index === 0 ? 'disk.qcow2' : `disk.${index}.qcow2`;
}
