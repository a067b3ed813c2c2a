import { describe, expect, it } from 'vitest';

import { firmwareProblem, kvmProblem, memoryProblem, tunProblem } from './checks.ts';

const VERDICT = { version: 1, boot: 'b', qemu: 'QEMU 10', reason: 'no kernel has started under it' } as const;

describe('what virtual machines need of the host', () => {
  it('/dev/net/tun, which only machines need', () => {
    expect(tunProblem('usable', true)).toBeUndefined();
    expect(tunProblem('closed', false)).toMatchObject({ level: 'warning', commands: [['chmod', '0666', '/dev/net/tun']] });
    expect(tunProblem('absent', true)).toMatchObject({ level: 'error', commands: [['modprobe', 'tun']] });
  });

  it('memory for a control plane, and the firmware of the tools image where there is one', () => {
    expect(memoryProblem(3e9)).toBeUndefined();
    expect(memoryProblem(1e9)).toEqual({
      level: 'warning',
      message: '1.00 GB of memory are available: a control plane that is a virtual machine needs 2.15 GB',
    });
    expect(firmwareProblem(undefined)).toBeUndefined();
    expect(firmwareProblem({ path: '/usr/share/OVMF/OVMF_CODE_4M.fd', there: true })).toBeUndefined();
    expect(firmwareProblem({ path: '/usr/share/OVMF/OVMF_CODE_4M.fd', there: false })).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('no UEFI firmware (/usr/share/OVMF/OVMF_CODE_4M.fd)') as string,
    });
  });

  it('KVM, for speed, where a kernel starts under it', () => {
    expect(kvmProblem('usable', undefined)).toBeUndefined();
    expect(kvmProblem('usable', { ...VERDICT, usable: true })).toBeUndefined();
    expect(kvmProblem('usable', { ...VERDICT, usable: false })).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('no kernel has started') as string,
    });
    expect(kvmProblem('closed', undefined)).toMatchObject({ level: 'warning', commands: [['chmod', '0666', '/dev/kvm']] });
    expect(kvmProblem('absent', undefined)?.message).toContain('no KVM');
  });
});
