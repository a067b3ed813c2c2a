import { describe, expect, it } from 'vitest';

import type { SavedMachine, SavedMachines } from '../saved-machines.ts';
import { type Here, unfit } from './saved-fit.ts';

const MACHINE: SavedMachine = {
  ...{ accelerator: 'tcg', board: 'q35', cpuModel: 'max', firmware: 'direct', cpus: 2, memory: 2 ** 30, disks: 1, extents: [] },
};
const SAVED: SavedMachines = {
  qemu: 'QEMU emulator version 10.0.13',
  architecture: 'amd64',
  files: [],
  pausedMs: 1,
  machines: { node01: MACHINE, node02: MACHINE },
  record: '{}',
};
const HERE: Here = {
  qemu: 'QEMU emulator version 10.0.13',
  architecture: 'amd64',
  board: 'q35',
  kvm: false,
  cpuModels: { node01: 'max', node02: 'max' },
};
const onKvm = { node01: { ...MACHINE, accelerator: 'kvm', cpuModel: 'Haswell' } };

describe('what keeps a saved state from going on', () => {
  it.each<[string, Partial<SavedMachines>, Partial<Here>, readonly string[]]>([
    ['nothing', {}, {}, []],
    ['nothing of an emulated one where there is KVM', {}, { kvm: true }, []],
    [
      'another QEMU',
      {},
      { qemu: 'QEMU emulator version 11.0.0' },
      ['QEMU: it was "QEMU emulator version 10.0.13", here it is "QEMU emulator version 11.0.0"'],
    ],
    ['another architecture', { architecture: 'arm64' }, {}, ['architecture: it was "arm64", here it is "amd64"']],
    ['another machine', {}, { board: 'pc' }, ['machine: it was "q35", here it is "pc"']],
    ['other nodes', {}, { cpuModels: { node01: 'max' } }, ['nodes: it was "node01, node02", here it is "node01"']],
    [
      'another processor',
      {},
      { cpuModels: { node01: 'max', node02: 'Nehalem' } },
      ['processor of node02: it was "max", here it is "Nehalem"'],
    ],
    ['no KVM', { machines: onKvm }, { cpuModels: { node01: 'Haswell' } }, ['accelerator: it ran under KVM, which cannot be used here']],
    ['nothing under KVM', { machines: onKvm }, { kvm: true, cpuModels: { node01: 'Haswell' } }, []],
  ])('%s', (_what, saved, here, expected) => {
    expect(unfit({ ...SAVED, ...saved }, { ...HERE, ...here })).toEqual(expected);
  });
});
