import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { FakeQemu } from '../../../test/fixtures/fake-qemu.ts';
import { KvciError } from '../../core/errors.ts';
import { CommandError } from '../../host/command-error.ts';
import type { CommandResult, CommandRunner } from '../../host/types.ts';
import { readVerdict } from './kvm.ts';
import { startVm, type VmSpec } from './start-vm.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';

const NEVER = new AbortController().signal;

const SPEC: VmSpec = {
  name: 'a',
  addresses: { ipv4: '192.168.66.101' },
  cpus: 1,
  memory: 2 ** 30,
  disk: { path: '/disk.qcow2' },
  firmware: 'bios',
  acceleration: 'emulation',
  kernelArguments: [],
  hostKey: 'own',
};

/** A sandbox whose commands do well, but for what one of them answers by itself. */
function runnerOf(answer: (argv: readonly string[]) => Partial<CommandResult> | undefined): CommandRunner {
  return {
    where: 'sandbox',
    run: (argv) => {
      const info = argv[1] === 'info' ? '{"format": "qcow2", "virtual-size": 1024}' : '';
      const result = { argv, exitCode: 0, stdout: info, stderr: '', ms: 0, ...answer(argv) };
      return result.stderr === '' ? Promise.resolve(result) : Promise.reject(new CommandError('sandbox', result));
    },
  };
}

it('a full disk is told as one, with its folder', async () => {
  const stderr = 'qemu-img: /machines/a/disk.qcow2.new: Could not write: No space left on device\n';
  const runner = runnerOf(([program, action]) => {
    if (program === 'test' && action === '-e') return { exitCode: 1 };
    return program === 'qemu-img' && action === 'create' ? { exitCode: 1, stderr } : undefined;
  });
  const sandbox = { runner, record: { machines: {}, folder: '/cache/machines/a' }, inside: (file: string) => file };
  const parts = { architecture: 'amd64', memoryAvailable: () => Promise.resolve(2 ** 40) };
  const started = startVm(parts as VmSandboxParts, sandbox as unknown as VmSandbox, SPEC, NEVER);
  await expect(started).rejects.toMatchObject({ code: 'disk-full', exitCode: 3, facts: { path: '/cache/machines/a' } });
});

it.each(['bios', 'uefi'] as const)('kernel arguments that a boot loader (%s) would not hand on are refused', async (firmware) => {
  const sandbox = {
    runner: runnerOf(() => undefined),
    record: { machines: {}, folder: '/cache/machines/a' },
    inside: (file: string) => file,
  };
  const parts = { architecture: 'amd64', memoryAvailable: () => Promise.resolve(2 ** 40) };
  const spec: VmSpec = { ...SPEC, firmware, kernelArguments: ['quiet'] };
  await expect(startVm(parts as VmSandboxParts, sandbox as unknown as VmSandbox, spec, NEVER)).rejects.toMatchObject({
    code: 'bad-flag',
    exitCode: 2,
    message: '--karg: the boot loader of /disk.qcow2 starts its kernel, with arguments of its own',
  });
});

it.each<[string, 'usable' | 'absent', string | undefined, string, false | undefined]>([
  ['that QEMU cannot use is emulated, and KVM is not tried again', 'usable', 'KVM is there but cannot be used', 'tcg', false],
  ['that is gone is emulated, and may be there again', 'absent', 'this host has no KVM', 'tcg', undefined],
  ['that is insisted on is an error', 'usable', undefined, 'kvm-unusable', undefined],
])('a machine with a KVM %s', async (_what, device, why, outcome, verdict) => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-start-vm-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const qemu = new FakeQemu(folder);
  onTestFinished(() => {
    qemu.end();
  });
  await qemu.listen();
  const stderr = 'Could not access KVM kernel module: No such file or directory';
  const runner = runnerOf((argv) => {
    if (argv.includes('/dev/kvm') && device === 'absent') return { exitCode: 3 };
    if (argv[1] === '--version') return { stdout: 'QEMU 10\n' };
    return argv[0]?.startsWith('qemu-system') === true && argv.join(' ').includes('accel=kvm') ? { exitCode: 1, stderr } : undefined;
  });
  const sandbox = {
    runner,
    record: { machines: {}, folder, key: { publicKey: 'x' }, lan: {} },
    inside: (file: string) => file,
    outside: (file: string) => join(folder, basename(file)),
    keepMachine: () => Promise.resolve(),
    keepMachines: () => Promise.resolve(),
  };
  const said: string[] = [];
  const parts = {
    architecture: 'amd64',
    memoryAvailable: () => Promise.resolve(2 ** 40),
    directories: { state: folder },
    events: (event: { readonly message?: string }) => said.push(event.message ?? ''),
  };
  const spec: VmSpec = { ...SPEC, acceleration: 'kvm', orEmulated: why !== undefined };
  const started = startVm(parts as unknown as VmSandboxParts, sandbox as unknown as VmSandbox, spec, NEVER);
  const seen = await started.then(
    (vm) => vm.record.accelerator,
    (error: unknown) => (error instanceof KvciError ? error.code : error),
  );
  expect(seen).toBe(outcome);
  expect((await readVerdict(folder))?.usable).toBe(verdict);
  expect(said).toEqual(why === undefined ? [] : [expect.stringMatching(`^a is started again: ${why}: .*machines are emulated`)]);
});
