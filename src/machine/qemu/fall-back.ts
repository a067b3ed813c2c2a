import type { Vm } from './vm.ts';

/**
 * A machine that goes on by another one of the same disk where KVM fails it: once, and whoever waits for it waits on.
 *
 * @param again starts the other one, when the first has ended
 */
export function withFallBack(first: Vm, again: () => Promise<Vm>): Vm {
  let current = first;
  let letGo = false;
  const next: Promise<Vm | undefined> = first.ended.then(async () => {
    if (letGo || first.failure() === undefined) return undefined;
    return (current = await again());
  });
  // Whoever waits for the machine is told.
  next.catch(() => undefined);
  /** The machine, without its failure where there is another one by now. */
  const settled = async (): Promise<Vm> => (first.failure() === undefined ? first : ((await next) ?? first));
  return {
    name: first.name,
    get record() {
      return current.record;
    },
    failure: () => (current === first ? undefined : current.failure()),
    goesOn: async () => {
      await first.ended;
      return current === first && (await next) !== undefined;
    },
    ended: next.then(
      (other) => other?.ended,
      () => undefined,
    ),
    node: async (deadlineMs, signal) => {
      const vm = await settled();
      try {
        return await vm.node(deadlineMs, signal);
      } catch (error) {
        const other = await settled();
        if (other === vm) throw error;
        return other.node(deadlineMs, signal);
      }
    },
    reboot: async (deadlineMs, signal) => {
      const vm = await settled();
      try {
        return await vm.reboot(deadlineMs, signal);
      } catch (error) {
        const other = await settled();
        if (other === vm) throw error;
        // It has just been started.
        return other.node(deadlineMs, signal);
      }
    },
    stop: async (signal) => (await settled()).stop(signal),
    kill: async () => (await settled()).kill(),
    console: async () => (await settled()).console(),
    openConsole: async () => (await settled()).openConsole(),
    [Symbol.asyncDispose]: async () => {
      letGo = true;
      await first[Symbol.asyncDispose]();
      if (first.failure() !== undefined) await (await next.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}
