import { expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import { CommandError } from '../../host/command-error.ts';
import { qemuFailure } from './qemu-failure.ts';

function failed(stderr: string): CommandError {
  return new CommandError('sandbox', {
    argv: ['qemu-system-x86_64'],
    exitCode: 1,
    stdout: '',
    stderr: `qemu-system-x86_64: ${stderr}\n`,
    ms: 1,
  });
}

it.each([
  ['Could not access KVM kernel module: Permission denied', 'kvm-unusable', 3],
  ["target/i386/kvm/kvm.c:3877: kvm_buf_set_msrs: Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed.", 'kvm-unusable', 3],
  ["cannot set up guest memory 'pc.ram': Cannot allocate memory", 'not-enough-memory', 3],
  ['-netdev tap,id=lan: could not configure /dev/net/tun (tap-044265): Operation not permitted', 'no-tun', 3],
  ['-blockdev {"driver":"raw"}: Could not open \'/usr/share/OVMF/OVMF_CODE_4M.fd\': No such file or directory', 'no-firmware', 3],
  ['-blockdev x: Failed to get "write" lock', 'disk-in-use', 5],
  ['-blockdev x: Image is not in qcow2 format', 'bad-disk', 1],
  ["could not load kernel '/files/0/vmlinuz'", 'bad-kernel', 1],
  ['-foo: invalid option', 'machine-not-started', 1],
])('%s', (stderr, code, exitCode) => {
  expect(qemuFailure(failed(stderr), 'node01')).toMatchObject({ code, exitCode, message: expect.stringContaining('node01') as string });
});

it('other errors stay what they are', () => {
  const error = new KvciError('interrupted', 'cancelled', 'cancelled');
  expect(qemuFailure(error, 'node01')).toBe(error);
});
