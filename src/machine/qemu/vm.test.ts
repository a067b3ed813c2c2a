import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FakeQemu } from '../../../test/fixtures/fake-qemu.ts';
import type { Clock } from '../../core/clock.ts';
import { KvciError } from '../../core/errors.ts';
import type { Event } from '../../core/events.ts';
import { systemClock } from '../../host/clock.ts';
import { fileLocks } from '../../host/locks.ts';
import type { Ssh } from '../../host/ssh.ts';
import type { CommandRunner } from '../../host/types.ts';
import { readVerdict, writeVerdict } from './kvm.ts';
import { openVm, watchVm } from './vm.ts';
import type { VmRecord } from './vm-record.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';

const NEVER = new AbortController().signal;
const QEMU = 'QEMU emulator version 10.0.2';
const RECORD: VmRecord = { addresses: { ipv4: '192.168.66.101' }, accelerator: 'kvm', firmware: 'direct', cpus: 1, memory: 2 ** 30 };

let folder: string;
let qemu: FakeQemu;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-vm-'));
  qemu = new FakeQemu(folder);
  await qemu.listen();
});

afterEach(async () => {
  qemu.end();
  await rm(folder, { recursive: true });
});

/** Of a sandbox in which QEMU runs as long as the fake one does. */
const runner: CommandRunner = {
  where: 'tools sandbox',
  run: (argv) => {
    const exitCode = argv[2]?.startsWith('kill -0') === true && !qemu.running ? 1 : 0;
    return Promise.resolve({ argv, exitCode, stdout: `${QEMU}\n`, stderr: '', ms: 1 });
  },
};

function machine(change: Partial<Pick<VmSandboxParts, 'clock' | 'events' | 'ssh'>> = {}): [VmSandboxParts, VmSandbox, string, VmRecord] {
  const directories = { state: folder, cache: folder };
  const parts = {
    clock: systemClock,
    events: () => undefined,
    directories,
    architecture: 'amd64',
    locks: fileLocks(systemClock),
    ...change,
  };
  const sandbox = { runner, record: { folder }, outside: (file: string) => join(folder, basename(file)) };
  return [parts as unknown as VmSandboxParts, sandbox as unknown as VmSandbox, 'node01', RECORD];
}

it('an internal error of QEMU ends the machine, and no other one trusts KVM', async () => {
  qemu.status = 'internal-error';
  await writeVerdict(folder, { qemu: QEMU, usable: true, reason: 'a kernel has started under it' });
  const vm = await watchVm(...machine());
  await vm.ended;
  expect(vm.failure()).toMatchObject({ code: 'kvm-unusable', exitCode: 3 });
  expect(await readVerdict(folder, QEMU)).toMatchObject({ usable: false, reason: 'node01 was ended by an internal error of QEMU' });
  await vm[Symbol.asyncDispose]();
});

it('one that KVM failed while nobody watched is ended by whoever enters it, and so is the trust in KVM', async () => {
  qemu.status = 'internal-error';
  const vm = await openVm(...machine());
  await expect(vm.node(60_000, NEVER)).rejects.toMatchObject({ code: 'kvm-unusable', exitCode: 3 });
  expect(qemu.running).toBe(false);
  expect(await readVerdict(folder, QEMU)).toMatchObject({ usable: false });
});

it('a console is one at a time', async () => {
  const vm = await openVm(...machine());
  const first = await vm.openConsole();
  await expect((await openVm(...machine())).openConsole()).rejects.toMatchObject({ code: 'console-in-use', exitCode: 5 });
  first.destroy();
  await once(first, 'close');
  (await vm.openConsole()).destroy();
});

describe('a machine that QEMU halts because the disk of the host is full', () => {
  /** Commands run until the connection is closed. */
  const ssh: Pick<Ssh, 'connect'> = {
    connect: () => {
      const lost = Promise.withResolvers<number>();
      return Promise.resolve({
        alive: true,
        busy: 0,
        closed: new Promise(() => undefined),
        exec: () => lost.promise,
        [Symbol.asyncDispose]: () => {
          lost.reject(new KvciError('failed', 'ssh-lost', 'the SSH connection to node01 was lost'));
          return Promise.resolve();
        },
      });
    },
  };

  it('fails what runs on it at once, and says why', async () => {
    const said: string[] = [];
    const events = (event: Event): void => {
      if (event.type === 'problem') said.push(event.message);
    };
    await using vm = await watchVm(...machine({ ssh: ssh as Ssh, events }));
    const running = (await vm.node(60_000, NEVER)).run(['kubeadm', 'init']);
    qemu.status = 'io-error';
    qemu.tell('STOP');
    await expect(running).rejects.toMatchObject({ code: 'disk-full', exitCode: 3, facts: { folder } });
    expect(said).toEqual([expect.stringContaining('node01 stands still: the disk of this host is full')]);
  });

  it('is told where nobody watched, by what is lost then', async () => {
    const vm = await openVm(...machine({ ssh: ssh as Ssh }));
    const running = (await vm.node(60_000, NEVER)).run(['kubeadm', 'init']);
    qemu.status = 'io-error';
    await vm[Symbol.asyncDispose]();
    await expect(running).rejects.toMatchObject({ code: 'disk-full' });
  });

  it('is told by a command whose time is up', async () => {
    qemu.status = 'running';
    const vm = await openVm(...machine({ ssh: ssh as Ssh }));
    const node = await vm.node(60_000, NEVER);
    qemu.status = 'io-error';
    const running = node.run(['systemctl', 'start', 'kubelet'], { timeoutMs: 1 });
    // As one that is cancelled and cannot be ended.
    await vm[Symbol.asyncDispose]();
    await expect(running).rejects.toMatchObject({ code: 'disk-full' });
  });
});

describe('a machine whose QEMU does not answer', () => {
  it('is not waited for when whoever waits gives up', async () => {
    qemu.mute = true;
    const vm = await openVm(...machine());
    await expect(vm.node(60_000, AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('is told after the time that it may take', async () => {
    qemu.mute = true;
    // Time is up at once.
    const clock: Clock = { ...systemClock, wait: () => Promise.resolve() };
    const vm = await openVm(...machine({ clock }));
    await expect(vm.node(60_000, NEVER)).rejects.toMatchObject({ code: 'machine-not-reachable', facts: { cause: 'silent-monitor' } });
  });
});

describe('a machine that is to shut down', () => {
  it('goes on with it when whoever waits gives up', async () => {
    const giveUp = new AbortController();
    const vm = await openVm(...machine());
    const stopping = vm.stop(giveUp.signal);
    await expect.poll(() => qemu.asked).toContain('system_powerdown');
    giveUp.abort();
    await expect(stopping).rejects.toMatchObject({ code: 'cancelled' });
    expect(qemu.asked).not.toContain('quit');
  });

  it.each([
    ['kvm', 120],
    ['tcg', 300],
  ] as const)('has its power cut after a time, which is told (%s)', async (accelerator, seconds) => {
    const said: string[] = [];
    const waited: number[] = [];
    // A long time is up at once.
    const clock: Clock = {
      ...systemClock,
      wait: (ms, signal) => (ms < 1000 ? systemClock.wait(ms, signal) : Promise.resolve(void waited.push(ms))),
    };
    const [parts, sandbox, name, record] = machine({ clock, events: (event) => event.type === 'problem' && said.push(event.message) });
    const vm = await openVm(parts, sandbox, name, { ...record, accelerator });
    await vm.stop(NEVER);
    expect(qemu.asked).toEqual(['qmp_capabilities', 'system_powerdown', 'qmp_capabilities', 'quit']);
    expect(said).toEqual([`node01 has not shut down within ${seconds} s: its power is cut`]);
    expect(waited).toEqual([seconds * 1000]);
  });
});
