import { describe, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import type { NodeHandle } from '../types.ts';
import { withFallBack } from './fall-back.ts';
import type { Accelerator } from './qemu-arguments.ts';
import type { Vm } from './vm.ts';

const NEVER = new AbortController().signal;
const FAILURE = new KvciError('hostNotReady', 'kvm-unusable', 'node01: KVM cannot run this machine');

/** A machine that keeps the contract of one: it answers until it ends, and says why it has. */
function machine(accelerator: Accelerator) {
  const log: string[] = [];
  let failure: KvciError | undefined;
  let over = false;
  const done = Promise.withResolvers<undefined>();
  const end = (why?: KvciError): void => {
    failure = why;
    over = true;
    done.resolve(undefined);
  };
  const stopped = (): Promise<void> => {
    end();
    return Promise.resolve();
  };
  const answer = (what: string) => async (): Promise<NodeHandle> => {
    log.push(what);
    // Others get their turn, as with real machines.
    await Promise.resolve();
    if (over) throw failure ?? new KvciError('notFoundOrExists', 'machine-ended', 'ended');
    return { name: accelerator } as NodeHandle;
  };
  const vm: Vm = {
    name: 'node01',
    record: { addresses: {}, accelerator, firmware: 'direct', cpus: 1, memory: 1 },
    failure: () => failure,
    goesOn: () => Promise.resolve(false),
    ended: done.promise,
    node: answer('node'),
    reboot: answer('reboot'),
    stop: stopped,
    kill: stopped,
    console: () => Promise.resolve(accelerator),
    openConsole: () => Promise.reject(new Error('nobody asked for this')),
    [Symbol.asyncDispose]: () => Promise.resolve(void log.push('let go')),
  };
  return { vm, log, end };
}

function both() {
  const kvm = machine('kvm');
  const tcg = machine('tcg');
  let starts = 0;
  const vm = withFallBack(kvm.vm, () => {
    starts += 1;
    return Promise.resolve(tcg.vm);
  });
  return { vm, kvm, tcg, starts: () => starts };
}

describe('a machine that KVM fails', () => {
  it('is emulated instead, for whoever waits for it too', async () => {
    const { vm, kvm, tcg, starts } = both();
    const waiting = vm.node(1000, NEVER);
    kvm.end(FAILURE);
    expect((await waiting).name).toBe('tcg');
    expect((await vm.node(1000, NEVER)).name).toBe('tcg');
    expect({ accelerator: vm.record.accelerator, failure: vm.failure(), console: await vm.console(), starts: starts() }).toEqual({
      accelerator: 'tcg',
      failure: undefined,
      console: 'tcg',
      starts: 1,
    });
    tcg.end();
    await vm.ended;
  });

  it('is told to whoever shows its console, once', async () => {
    const { vm, kvm, tcg } = both();
    kvm.end(FAILURE);
    expect(await vm.goesOn()).toBe(true);
    tcg.end();
    expect(await vm.goesOn()).toBe(false);
  });

  it('while it reboots comes up emulated', async () => {
    const { vm, kvm, tcg } = both();
    const rebooted = vm.reboot(1000, NEVER);
    kvm.end(FAILURE);
    expect((await rebooted).name).toBe('tcg');
    expect(tcg.log).toEqual(['node']);
  });

  it('says why it cannot be emulated either', async () => {
    const kvm = machine('kvm');
    const vm = withFallBack(kvm.vm, () => Promise.reject(new KvciError('hostNotReady', 'not-enough-memory', 'no memory')));
    kvm.end(FAILURE);
    await expect(vm.node(1000, NEVER)).rejects.toMatchObject({ code: 'not-enough-memory' });
    await vm.ended;
    await vm[Symbol.asyncDispose]();
  });

  it('and that nobody wants any more is not started again', async () => {
    const { vm, kvm, starts } = both();
    await vm[Symbol.asyncDispose]();
    kvm.end(FAILURE);
    await vm.ended;
    expect(starts()).toBe(0);
  });
});

it('a machine that ends for another reason, or is stopped, has ended', async () => {
  for (const end of ['stop', 'kill', 'power off'] as const) {
    const { vm, kvm, starts } = both();
    if (end === 'power off') kvm.end();
    else await vm[end](NEVER);
    await vm.ended;
    expect(await vm.goesOn()).toBe(false);
    await expect(vm.node(1000, NEVER)).rejects.toMatchObject({ code: 'machine-ended' });
    expect(starts()).toBe(0);
  }
});
