import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import type { Event } from '../../core/events.ts';
import { CommandError } from '../../host/command-error.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { Acceleration } from '../vm-options.ts';
import { accelerate } from './accelerate.ts';
import { readVerdict, writeVerdict } from './kvm.ts';
import type { QemuBoot, QemuMachine } from './qemu-arguments.ts';

const NEVER = new AbortController().signal;
const QEMU = 'QEMU emulator version 10.0.2';

const BOOTS: Readonly<Record<'uefi' | 'direct', QemuBoot>> = {
  uefi: { firmware: 'uefi', code: '/code', variables: '/variables' },
  direct: { firmware: 'direct', kernel: '/kernel', initramfs: '/initramfs', arguments: 'console=ttyS0' },
};

function machine(boot: QemuBoot): QemuMachine {
  const disk = { path: '/disk', format: 'qcow2', snapshot: true } as const;
  return {
    architecture: 'amd64',
    name: 'node01',
    accelerator: 'kvm',
    cpuModel: 'host',
    cpus: 1,
    memory: 2 ** 30,
    boot,
    disk,
    credentials: [],
  };
}

/** How a machine under trial goes: what it prints, and how QEMU ends; one that stands still ends by its timeout. */
interface Course {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly exitCode?: number;
  readonly standsStill?: true;
}

/** A sandbox with a /dev/kvm of some state and a QEMU whose machines go as told. */
function sandbox(device: 'usable' | 'closed' | 'absent', course: Course = {}): CommandRunner & { trials: number } {
  const runner: CommandRunner & { trials: number } = {
    where: 'tools sandbox',
    trials: 0,
    run: (argv, { accept = [], onLine } = {}) => {
      const answer = (exitCode: number, stdout = '', stderr = '') => {
        const result = { argv, exitCode, stdout, stderr, ms: 1 };
        return exitCode === 0 || accept.includes(exitCode)
          ? Promise.resolve(result)
          : Promise.reject(new CommandError('tools sandbox', result));
      };
      if (argv[0] === 'sh') return answer({ absent: 3, closed: 2, usable: 0 }[device]);
      if (argv[1] === '--version') return answer(0, `${QEMU}\nCopyright`);
      runner.trials += 1;
      for (const line of (course.stdout ?? '').split('\n')) onLine?.(line, 'stdout');
      for (const line of (course.stderr ?? '').split('\n')) onLine?.(line, 'stderr');
      if (course.standsStill === true) return Promise.reject(new KvciError('timedOut', 'timed-out', 'timed out'));
      return answer(course.exitCode ?? 0, course.stdout, course.stderr);
    },
  };
  return runner;
}

let state: string;
let said: string[];

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'kvci-accelerate-'));
  said = [];
});

afterEach(() => rm(state, { recursive: true }));

function choose(runner: CommandRunner, boot: keyof typeof BOOTS = 'direct', wanted: Acceleration = 'auto') {
  const events = (event: Event): void => {
    if (event.type === 'problem') said.push(event.message);
  };
  const parts = { events, directories: { state }, architecture: 'amd64' } as const;
  return accelerate(parts, runner, wanted, () => Promise.resolve(machine(BOOTS[boot])), NEVER);
}

describe('whether a machine has KVM', () => {
  it('that is not permitted: emulation, which is told, and nothing is tried or remembered', async () => {
    const runner = sandbox('closed');
    expect(await choose(runner)).toBe('tcg');
    expect(said).toEqual(['/dev/kvm is closed to this user: machines are emulated, which is about ten times as slow']);
    expect(runner.trials).toBe(0);
    expect(await readVerdict(state)).toBeUndefined();
    // Whoever wants no other gets it, and QEMU says why it cannot.
    expect(await choose(runner, 'direct', 'kvm')).toBe('kvm');
  });

  it('that is there and unusable: found out once, told each time', async () => {
    const runner = sandbox('usable', { stderr: 'KVM internal error. Suberror: 1', standsStill: true });
    expect([await choose(runner), await choose(runner)]).toEqual(['tcg', 'tcg']);
    expect(runner.trials).toBe(1);
    expect(new Set(said)).toEqual(
      new Set([
        'KVM is there but cannot be used: a kernel cannot start under it (KVM internal error. Suberror: 1); machines are emulated, which is about ten times as slow',
      ]),
    );
    expect(said).toHaveLength(2);
    expect(await readVerdict(state, QEMU)).toMatchObject({ usable: false });
  });

  it('that works: found out once, and nothing is told', async () => {
    const runner = sandbox('usable', { stdout: '[    0.0] Linux version 6.12' });
    expect([await choose(runner), await choose(runner, 'uefi')]).toEqual(['kvm', 'kvm']);
    expect(runner.trials).toBe(1);
    expect(said).toEqual([]);
  });
});

describe('what is used on request, whatever is known', () => {
  it.each([
    ['emulation', 'tcg'],
    ['kvm', 'kvm'],
  ] as const)('%s', async (wanted, accelerator) => {
    await writeVerdict(state, { qemu: QEMU, usable: wanted !== 'kvm', reason: 'a test' });
    const asked = { where: 'tools sandbox', run: () => Promise.reject(new Error('nothing is to be asked')) };
    expect(await choose(asked, 'direct', wanted)).toBe(accelerator);
    expect(said).toEqual([]);
  });
});

describe('what is remembered of a trial in which no kernel spoke', () => {
  it.each<[string, keyof typeof BOOTS, Course, boolean]>([
    ['a disk whose console is elsewhere', 'uefi', { stdout: 'BdsDxe: starting Boot0001', standsStill: true }, false],
    ['a disk without a boot loader that switches off', 'uefi', { stdout: 'BdsDxe: No bootable option' }, false],
    ["kvci's own disk on a host that is too busy", 'direct', { standsStill: true }, false],
    ['a kernel that QEMU cannot load', 'direct', { stderr: "qemu: could not load kernel '/kernel'", exitCode: 1 }, false],
    ['no memory for it', 'direct', { stderr: "cannot set up guest memory 'pc.ram': Cannot allocate memory", exitCode: 1 }, false],
    ["kvci's own disk, whose machine resets at once", 'direct', {}, true],
    ['a QEMU that dies', 'direct', { stderr: 'Assertion failed', exitCode: 134 }, true],
    ['a foreign disk and a QEMU that dies', 'uefi', { stderr: 'Assertion failed', exitCode: 134 }, false],
    [
      'a foreign disk and a QEMU that says what KVM lacks',
      'uefi',
      { stderr: 'failed to initialize kvm: No such device', exitCode: 1 },
      true,
    ],
  ])('%s', async (_what, boot, course, remembered) => {
    const runner = sandbox('usable', course);
    expect(await choose(runner, boot)).toBe('tcg');
    expect((await readVerdict(state, QEMU))?.usable).toBe(remembered ? false : undefined);
    expect(said).toEqual([
      expect.stringMatching(remembered ? /^KVM is there but cannot be used: / : /^it could not be told whether KVM can be used: /),
    ]);
    // The next disk may tell.
    await choose(runner, boot);
    expect(runner.trials).toBe(remembered ? 1 : 2);
  });
});
