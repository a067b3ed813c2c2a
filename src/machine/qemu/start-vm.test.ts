import { expect, it } from 'vitest';

import { CommandError } from '../../host/command-error.ts';
import type { CommandRunner } from '../../host/types.ts';
import { startVm, type VmSpec } from './start-vm.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';

/** A sandbox in which there is no room for the machine's own disk. */
const RUNNER: CommandRunner = {
  where: 'sandbox',
  run: (argv) => {
    const done = { argv, exitCode: 0, stdout: '', stderr: '', ms: 0 };
    const [program, action] = argv;
    if (program === 'test' && action === '-e') return Promise.resolve({ ...done, exitCode: 1 });
    if (program !== 'qemu-img') return Promise.resolve(done);
    if (action === 'info') return Promise.resolve({ ...done, stdout: '{"format": "qcow2", "virtual-size": 1024}' });
    const stderr = 'qemu-img: /machines/a/disk.qcow2.new: Could not write: No space left on device\n';
    return Promise.reject(new CommandError('sandbox', { ...done, exitCode: 1, stderr }));
  },
};

function starting(change: Partial<VmSpec>): Promise<unknown> {
  const sandbox = { runner: RUNNER, record: { machines: {}, folder: '/cache/machines/a' }, inside: (file: string) => file };
  const parts = { architecture: 'amd64', memoryAvailable: () => Promise.resolve(2 ** 40) };
  const spec: VmSpec = {
    name: 'a',
    addresses: { ipv4: '192.168.66.101' },
    cpus: 1,
    memory: 2 ** 30,
    disk: { path: '/disk.qcow2' },
    firmware: 'bios',
    acceleration: 'emulation',
    kernelArguments: [],
    hostKey: 'own',
    ...change,
  };
  return startVm(parts as VmSandboxParts, sandbox as unknown as VmSandbox, spec, new AbortController().signal);
}

it('a full disk is told as one, with its folder', async () => {
  await expect(starting({})).rejects.toMatchObject({ code: 'disk-full', exitCode: 3, facts: { path: '/cache/machines/a' } });
});

it.each(['bios', 'uefi'] as const)('kernel arguments that a boot loader (%s) would not hand on are refused', async (firmware) => {
  await expect(starting({ firmware, kernelArguments: ['quiet'] })).rejects.toMatchObject({
    code: 'bad-flag',
    exitCode: 2,
    message: '--karg: the boot loader of /disk.qcow2 starts its kernel, with arguments of its own',
  });
});
