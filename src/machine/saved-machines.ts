import type { MachineSpec } from './types.ts';

/** What machines of one network were when they stood still, beside the files of it. JSON can carry it. It holds keys. */
export interface SavedMachines {
  /** Release of QEMU that wrote the state of its devices, and alone reads it. */
  readonly qemu: string;
  readonly architecture: string;
  /** Files of this host that the machines were made of: a disk and, where they are booted directly, kernel and initramfs. */
  readonly files: readonly string[];
  /** How long they stood still, in milliseconds. */
  readonly pausedMs: number;
  readonly machines: Readonly<Record<string, SavedMachine>>;
  /** Everything else that whoever starts them again has to know, as only it reads it. */
  readonly record: string;
}

export interface SavedMachine {
  readonly accelerator: string;
  readonly board: string;
  readonly cpuModel: string;
  readonly firmware: string;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  /** How many disks it had, each the child of the one before. */
  readonly disks: number;
  /** Where the file of its memory holds anything, in order: first byte and length of each piece. The rest is zeros. */
  readonly extents: readonly (readonly [start: number, length: number])[];
}

/** Where this host has what was saved. */
export interface SavedPlace {
  readonly folder: string;
  /** What the machines are made of, in the order of {@link SavedMachines.files}. */
  readonly files: readonly string[];
  /** Takes their disks alone. */
  readonly cold: boolean;
}

/**
 * Saving machines as they run, and starting them as they were. What is saved is a folder with one folder a machine, flat and sparse:
 * nothing in it is written again, and the files may be linked elsewhere.
 */
export interface MachineSnapshots {
  /** Kernels of these machines know by themselves that they go on as another: they have made new random numbers. */
  readonly renewsRandomNumbers: boolean;
  /**
   * Stops all machines at one instant, writes them into `folder`, which is not there yet, and lets them go on. Its parent is on the
   * file system of the cache.
   *
   * @param instant resolves when they are to stop; asked once everything is prepared
   * @throws KvciError `node-stopped`, `disk-full`, `qmp-refused`
   */
  save(folder: string, machines: readonly MachineSpec[], instant: () => Promise<void>, signal: AbortSignal): Promise<SavedMachines>;
  /** From now on `reset` puts the machines back to what was saved, all of them or, where this fails, none. @param folder it was saved to */
  adopt(folder: string, saved: SavedMachines, signal: AbortSignal): Promise<void>;
  /** After a save that came to nothing: whoever stands still for want of room on the disk goes on, what is of no use is gone. */
  recover(signal: AbortSignal): Promise<void>;
  /**
   * A turn to go on, which whoever restores or resets machines takes before and has until they answer: emulated clusters that go on at
   * once hold each other up. Others have it at once.
   *
   * @param saved undefined: what is reset
   * @param mayStandBack whether the machines of another cluster may stand back for that
   */
  turn(
    saved: SavedMachines | undefined,
    mayStandBack: (cluster: string) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<AsyncDisposable>;
  /**
   * Makes the machines of a cluster that has none of what was saved. All run when it answers, unless they are to boot from their disks:
   * then `start` starts them.
   *
   * @throws KvciError `snapshot-refused` where the state is not for this QEMU or these machines
   */
  restore(saved: SavedMachines, from: SavedPlace, machines: readonly MachineSpec[], signal: AbortSignal): Promise<void>;
  /** Gives machines that run new keys: those to log in by, and those they prove themselves by. The ones before count no more. */
  renewKeys(machines: readonly MachineSpec[], signal: AbortSignal): Promise<void>;
  /** Ends the machines and starts them as they were last saved or restored. @throws KvciError `never-saved` */
  reset(machines: readonly MachineSpec[], signal: AbortSignal): Promise<void>;
}
