import { KvciError, throwIfCancelled } from '../core/errors.ts';
import { type RunContext, runStep } from '../core/plan.ts';
import type { Vm } from '../machine/qemu/vm.ts';
import type { AttachedStreams, NodeHandle } from '../machine/types.ts';
import { attachConsole } from './attach-console.ts';
import type { BootedMachine, BootRequest } from './services.ts';

/** What a machine writes to its console. */
export interface KeptConsole {
  readonly file: string;
  /** Keeps it when the machine goes, and answers where. */
  readonly keep: () => Promise<string>;
}

/** Waits until the machine answers, as a step of its own. */
export async function reach(
  vm: Pick<Vm, 'node'>,
  { timeoutMs, name }: BootRequest,
  run: RunContext,
): Promise<{ readonly node: NodeHandle; readonly ms: number }> {
  const started = run.clock.monotonic();
  const node = await runStep(
    {
      id: 'boot',
      title: `boot ${name}`,
      why: 'it has just been started',
      find: () => Promise.resolve(undefined),
      make: ({ signal }) => vm.node(timeoutMs, signal),
    },
    run,
  );
  return { node, ms: Math.round(run.clock.monotonic() - started) };
}

/** The console is whoever started it; a machine that cannot be entered stays for them to see why. */
export async function untilLeft(
  vm: Vm,
  request: BootRequest,
  streams: () => AttachedStreams & AsyncDisposable,
  { file, keep }: KeptConsole,
  run: RunContext,
): Promise<BootedMachine> {
  const note = (message: string, hint?: string): void => {
    run.events({ type: 'problem', level: 'note', message, ...(hint === undefined ? {} : { hint }) });
  };
  await using attached = streams();
  const interactive = attached.terminal !== undefined;
  note(`the console of ${request.name}${interactive ? '; Ctrl-] switches the machine off' : ''}`);
  const done = new AbortController();
  const signal = AbortSignal.any([run.signal, done.signal]);
  let sshMs: number | undefined;
  let failed: boolean | undefined;
  const reached = reach(vm, request, { ...run, signal }).then(
    ({ ms }) => {
      sshMs = ms;
      note(`${request.name} answers by SSH after ${(ms / 1000).toFixed(1)} s: kvci disk ssh ${request.name}`);
    },
    (error: unknown) => {
      if (done.signal.aborted) return;
      failed = true;
      if (!interactive || !(error instanceof KvciError)) throw error;
      run.events({ type: 'problem', level: 'warning', message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) });
    },
  );
  try {
    // Without a terminal standard output is for the result.
    const { stdin, stdout, stderr } = attached;
    const show = async (): Promise<'left' | 'ended'> => {
      const how = await attachConsole(
        { log: file, openConsole: () => vm.openConsole() },
        interactive && stdin !== undefined ? { stdin, stdout } : { stdout: stderr },
        signal,
      );
      // What one showed that KVM failed is not what the next one shows.
      return how === 'ended' && (await vm.goesOn()) ? show() : how;
    };
    const left = show();
    // A machine that cannot be reached ends the wait only where nobody looks on.
    const how = await Promise.race([left, reached.then(() => left)]);
    throwIfCancelled(run.signal);
    // One that was never entered and has ended by itself has failed, too: nobody has said so yet.
    if (interactive && sshMs === undefined && (failed === true || how === 'ended'))
      note(`the whole console of ${request.name}: ${await keep()}`);
  } finally {
    done.abort();
    await reached.catch(() => undefined);
  }
  const { accelerator, firmware, addresses } = vm.record;
  return { name: request.name, accelerator, firmware, addresses, ...(sshMs === undefined ? {} : { sshMs }), running: false };
}
