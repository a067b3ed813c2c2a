import type { Architecture } from '../../payload/types.ts';
import type { SavedMachines } from '../saved-machines.ts';

/** What a saved state is to go on with. */
export interface Here {
  /** As `qemu-system-... --version` says it. */
  readonly qemu: string;
  readonly architecture: Architecture;
  readonly board: string;
  /** Machines run under it here. */
  readonly kvm: boolean;
  /** The processor of each machine that is wanted. */
  readonly cpuModels: Readonly<Record<string, string>>;
}

/**
 * What keeps a saved state from going on here, in words: it is the inside of one QEMU, of one machine with one kind of processor.
 * Empty where nothing does.
 */
export function unfit(saved: SavedMachines, here: Here): readonly string[] {
  const all = Object.entries(saved.machines);
  const differs = (what: string, then: string, now: string): readonly string[] =>
    then === now ? [] : [`${what}: it was "${then}", here it is "${now}"`];
  const names = (list: Iterable<string>): string => [...list].toSorted().join(', ');
  return [
    ...differs('architecture', saved.architecture, here.architecture),
    ...differs('QEMU', saved.qemu, here.qemu),
    ...[...new Set(all.map(([, { board }]) => board))].flatMap((board) => differs('machine', board, here.board)),
    ...differs('nodes', names(Object.keys(saved.machines)), names(Object.keys(here.cpuModels))),
    ...(all.some(([, { accelerator }]) => accelerator === 'kvm') && !here.kvm
      ? ['accelerator: it ran under KVM, which cannot be used here']
      : []),
    ...all.flatMap(([name, { cpuModel }]) => differs(`processor of ${name}`, cpuModel, here.cpuModels[name] ?? cpuModel)),
  ];
}
