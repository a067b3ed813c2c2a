import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { hostCommands } from '../../host/adapters/execa-commands.ts';
import { systemClock } from '../../host/clock.ts';
import { type AcceleratorQuestion, chooseAccelerator, readVerdict, trialSays, tryKvm, writeVerdict } from './kvm.ts';

const NEVER = new AbortController().signal;
const UNUSABLE = { version: 1, boot: 'b', qemu: 'q', usable: false, reason: 'no kernel starts' } as const;

describe('the choice between KVM and emulation', () => {
  it.each<[string, Partial<AcceleratorQuestion>, unknown]>([
    ['no KVM', { device: 'absent' }, { accelerator: 'tcg', note: expect.stringContaining('has no KVM') as string }],
    ['not for this user', { device: 'closed' }, { accelerator: 'tcg', note: expect.stringContaining('closed to this user') as string }],
    ['nothing known yet', {}, 'try'],
    ['known to work', { remembered: { ...UNUSABLE, usable: true } }, { accelerator: 'kvm' }],
    ['known not to work', { remembered: UNUSABLE }, { accelerator: 'tcg', note: expect.stringContaining('no kernel starts') as string }],
  ])('%s', (_what, change, choice) => {
    expect(chooseAccelerator({ device: 'usable', remembered: undefined, ...change })).toEqual(choice);
  });
});

describe('what a machine under trial says', () => {
  it.each<[string, boolean | undefined]>([
    ['SeaBIOS (version 1.16.3-debian-1.16.3-2)', undefined],
    ['[    0.000000] Linux version 6.12.57+deb13-cloud-amd64 (debian-kernel@lists.debian.org)', true],
    ['KVM internal error. Suberror: 1', false],
    ['KVM: entry failed, hardware error 0x80000021', false],
  ])('%s', (line, usable) => {
    expect(trialSays(line)?.usable).toBe(usable);
  });

  const commands = hostCommands(() => undefined, systemClock);
  it.each<[string, string, object]>([
    ['a kernel that starts', 'echo BIOS; echo "[ 0.0] Linux version 6"; sleep 100', { usable: true, source: 'told' }],
    ['a kernel that dies', 'echo "KVM internal error. Suberror: 3" >&2; sleep 100', { usable: false, source: 'told' }],
    [
      'a QEMU that dies',
      'echo "Assertion failed" >&2; exit 134',
      { usable: false, reason: 'no kernel has started under it (Assertion failed)', source: 'silent' },
    ],
    ['a machine that switches itself off', 'exit 0', { usable: false, reason: 'no kernel has started under it', source: 'silent' }],
    ['a disk that is none', 'echo "Image is not in qcow2 format" >&2; exit 1', { usable: false, source: 'nothing' }],
  ])('%s', async (_what, script, verdict) => {
    expect(await tryKvm(commands, ['sh', '-c', script], NEVER)).toMatchObject(verdict);
  });

  it('is cut off by whoever waits', async () => {
    await expect(tryKvm(commands, ['sleep', '100'], AbortSignal.timeout(50))).rejects.toMatchObject({ code: 'cancelled' });
  });
});

it('a verdict holds for one boot of the host and one QEMU', async () => {
  const state = await mkdtemp(join(tmpdir(), 'kvci-kvm-'));
  try {
    expect(await readVerdict(state, 'QEMU 10')).toBeUndefined();
    await writeVerdict(state, { qemu: 'QEMU 10', usable: false, reason: 'why' });
    expect(await readVerdict(state, 'QEMU 10')).toMatchObject({ usable: false, reason: 'why' });
    expect(await readVerdict(state, 'QEMU 11')).toBeUndefined();
    await writeFile(join(state, 'kvm.json'), JSON.stringify({ ...UNUSABLE, qemu: 'QEMU 10' }));
    expect(await readVerdict(state, 'QEMU 10')).toBeUndefined();
    await writeFile(join(state, 'kvm.json'), '{"half');
    expect(await readVerdict(state, 'QEMU 10')).toBeUndefined();
  } finally {
    await rm(state, { recursive: true });
  }
});
