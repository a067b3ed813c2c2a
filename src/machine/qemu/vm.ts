import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

import { deadline } from '../../core/deadline.ts';
import { KvciError, throwIfCancelled } from '../../core/errors.ts';
import { execNode } from '../exec-node.ts';
import type { NodeHandle } from '../types.ts';
import { hasLease } from '../net/lan-services.ts';
import { consoleCause } from './console-cause.ts';
import { kvmFailure, rememberKvmFailure } from './kvm-failure.ts';
import { notReachable, silentMonitor } from './not-reachable.ts';
import type { Accelerator } from './qemu-arguments.ts';
import { rebootMachine } from './reboot.ts';
import { SshSessions } from './ssh-sessions.ts';
import { consoleFile, socketsOf, vmFolder } from './vm-files.ts';
import type { VmRecord } from './vm-record.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';
import { connectMonitor, connectSocket, machineEnded } from './vm-sockets.ts';
import { diskFull, isStatus, unlessGone } from './vm-status.ts';

const SSH_PORT = 22;

/** How often it is asked whether a machine answers, and how often its console is read for why it does not. */
const POLL_MS = 100;
const CONSOLE_MS = 2_000;

/** How long the end of a machine is waited for at first: one that was told to quit takes a moment, one that shuts down its time. */
const FIRST_POLL_MS = 10;

/** For a hang: QEMU tells at once how its machine is. */
const ASK_MS = 10_000;

/**
 * What a machine gets to shut down in order before its power is cut: systemd's own limit for a service, and more. Emulated, the end of a
 * control plane's containers alone may take that.
 */
const SHUTDOWN_MS: Readonly<Record<Accelerator, number>> = { kvm: 120_000, tcg: 300_000 };

const LIST_RUNNING = `for file in "$1"*/qemu.pid; do
  if kill -0 "$(cat "$file" 2>/dev/null)" 2>/dev/null; then basename "$(dirname "$file")"; fi
done`;

/** A running machine, in the eyes of whichever process asks. */
export interface VmAccess extends AsyncDisposable {
  readonly name: string;
  readonly record: VmRecord;
  /**
   * The machine as a node, once it answers by SSH.
   *
   * @throws KvciError `machine-not-reachable` with the last lines of its console and the likely cause, `machine-ended`,
   *   `kvm-unusable`, `host-key-differs`, `ssh-refused`, `cancelled`
   */
  node(deadlineMs: number, signal: AbortSignal): Promise<NodeHandle>;
  /** Restarts it in order and answers when it answers again. @throws as `node`; `machine-not-reachable` also where it does not restart */
  reboot(deadlineMs: number, signal: AbortSignal): Promise<NodeHandle>;
  /** Shuts it down in order, then by force, which is told. @throws KvciError `cancelled`: it goes on shutting down */
  stop(signal: AbortSignal): Promise<void>;
  /** Cuts its power. */
  kill(): Promise<void>;
  /** All that its console showed. */
  console(): Promise<string>;
  /** Its console, both ways. One at a time can have it. @throws KvciError `console-in-use`, `machine-ended` */
  openConsole(): Promise<Duplex>;
}

/** A machine that one process watches: the one that has started it. */
export interface Vm extends VmAccess {
  /** Resolves when it has ended, however it did. */
  readonly ended: Promise<void>;
  /** Why it was ended, where KVM could not run it. */
  failure(): KvciError | undefined;
  /** For whoever has seen its console close: waits for its end, and tells whether there is a new start of it, which is told once. */
  goesOn(): Promise<boolean>;
}

/** Names of the machines that run in a sandbox. */
export async function runningVms({ runner }: VmSandbox): Promise<ReadonlySet<string>> {
  const { stdout } = await runner.run(['sh', '-c', LIST_RUNNING, 'sh', vmFolder('')]);
  return new Set(stdout.split('\n').filter((name) => name !== ''));
}

/** Watches a machine that has just been started: only one process at a time can. @throws KvciError `machine-ended` */
export async function watchVm(parts: VmSandboxParts, sandbox: VmSandbox, name: string, record: VmRecord): Promise<Vm> {
  const failures: KvciError[] = [];
  let connected = false;
  const monitor = await connectMonitor(sandbox, socketsOf(name).monitors[0], name, ({ event }) => {
    if (event === 'STOP' && connected) void whyStopped();
  });

  async function whyStopped(): Promise<void> {
    const status = await monitor.execute('query-status').catch(() => undefined);
    if (isStatus(status, 'io-error')) {
      const { message, hint } = diskFull(name, sandbox.record);
      parts.events({ type: 'problem', level: 'warning', message, ...(hint === undefined ? {} : { hint }) });
      // What runs there would look alive for minutes.
      await access[Symbol.asyncDispose]();
    }
    if (!isStatus(status, 'internal-error')) return;
    failures.push(kvmFailure(name));
    await rememberKvmFailure(parts, sandbox.runner, name);
    await monitor.execute('quit').catch(() => undefined);
  }

  let running = true;
  // Its connections would look alive for minutes: nobody says that they are over.
  const ended = monitor.closed.then(async () => {
    running = false;
    await access[Symbol.asyncDispose]();
  });
  const state: RunningState = {
    watched: true,
    failure: () => failures[0],
    running: () => Promise.resolve(running),
    untilEnded: () => ended,
  };
  const access = vmAccess(parts, sandbox, name, record, state);
  connected = true;
  // One that stopped before somebody listened does not say so again.
  await whyStopped();
  return {
    ...access,
    ended,
    failure: () => failures[0],
    goesOn: () => ended.then(() => false),
    [Symbol.asyncDispose]: async () => {
      await access[Symbol.asyncDispose]();
      monitor[Symbol.dispose]();
    },
  };
}

/** Takes hold of a machine that somebody has started. @throws KvciError `machine-ended` */
export async function openVm(parts: VmSandboxParts, sandbox: VmSandbox, name: string, record: VmRecord): Promise<VmAccess> {
  const { pid } = socketsOf(name);
  const running = async (): Promise<boolean> =>
    (await sandbox.runner.run(['sh', '-c', 'kill -0 "$(cat "$1")"', 'sh', pid], { accept: [1, 2] })).exitCode === 0;
  if (!(await running())) throw machineEnded(name);
  const untilEnded = async (signal?: AbortSignal): Promise<void> => {
    for (let wait = FIRST_POLL_MS; signal?.aborted !== true && (await running()); wait = Math.min(2 * wait, POLL_MS))
      await parts.clock.wait(wait);
  };
  return vmAccess(parts, sandbox, name, record, { watched: false, failure: () => undefined, running, untilEnded });
}

/** What is known of whether a machine runs. */
interface RunningState {
  /** This process sees by itself when QEMU stops it. */
  readonly watched: boolean;
  /** Why it was ended, where that was for a reason. */
  failure(): KvciError | undefined;
  running(): Promise<boolean>;
  /** @param signal of whoever waits: it may resolve as it aborts */
  untilEnded(signal?: AbortSignal): Promise<void>;
}

function vmAccess(parts: VmSandboxParts, sandbox: VmSandbox, name: string, record: VmRecord, state: RunningState): VmAccess {
  const { clock, ssh } = parts;
  const { addresses, hostKey } = record;
  const sockets = socketsOf(name);
  const sessions = new SshSessions((signal) => {
    const open = (): Promise<Duplex> => sandbox.open(addresses.ipv4 ?? addresses.ipv6 ?? '', SSH_PORT);
    return ssh.connect({ name, user: 'root', key: sandbox.record.key, hostKey: hostKey?.publicKey, open }, signal);
  });
  /** What fails on a machine that stands still fails for that. */
  const orDiskFull = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      const lost = error instanceof KvciError && ['ssh-lost', 'ssh-unreachable', 'timed-out'].includes(error.code);
      if (lost && (await isStarved(AbortSignal.timeout(ASK_MS)).catch(() => false))) throw diskFull(name, sandbox.record, error);
      throw error;
    }
  };
  const node = execNode(parts, { name, addresses, exec: (request) => orDiskFull(sessions.exec(request)) });
  // Its time is up only where it is run.
  const handle: NodeHandle = { ...node, run: (argv, options) => orDiskFull(node.run(argv, options)) };
  const readConsole = (): Promise<string> => readFile(consoleFile(sandbox.record, name), 'utf8');

  const why = async (): Promise<KvciError> => {
    const [console, leased, running] = await Promise.all([readConsole(), hasLease(sandbox.runner, addresses), state.running()]);
    return notReachable(name, console, consoleCause(console, leased), running);
  };

  const command = async (what: string, signal?: AbortSignal): Promise<unknown> => {
    using control = await connectMonitor(sandbox, sockets.monitors[1], name, () => undefined, signal);
    return await control.execute(what);
  };
  const status = (signal: AbortSignal): Promise<unknown> => command('query-status', signal).catch(unlessGone);
  const isStarved = async (signal: AbortSignal): Promise<boolean> => isStatus(await status(signal), 'io-error');
  /** One that KVM has failed while nobody watched counts as running, and never goes on. */
  const endFailed = async (now: unknown): Promise<void> => {
    if (state.watched || !isStatus(now, 'internal-error')) return;
    await rememberKvmFailure(parts, sandbox.runner, name);
    await kill();
    throw kvmFailure(name);
  };

  const enter: VmAccess['node'] = async (deadlineMs, signal) => {
    using limit = deadline(clock, deadlineMs, signal, () => silentMonitor(name));
    const before = await status(limit.signal);
    await endFailed(before);
    // There may be room by now.
    if (isStatus(before, 'io-error')) await command('cont', limit.signal).catch(unlessGone);
    const end = clock.monotonic() + deadlineMs;
    let nextLook = clock.monotonic() + CONSOLE_MS;
    for (;;) {
      const failure = state.failure();
      if (failure !== undefined) throw failure;
      try {
        await sessions.ready(signal);
        return handle;
      } catch (error) {
        if (!(error instanceof KvciError) || error.code !== 'ssh-unreachable') throw error;
      }
      const now = clock.monotonic();
      if (now > end) throw await why();
      if (now > nextLook) {
        nextLook = now + CONSOLE_MS;
        const seen = await status(limit.signal);
        if (isStatus(seen, 'io-error')) throw diskFull(name, sandbox.record);
        await endFailed(seen);
        if (!(await state.running()) || consoleCause(await readConsole()).final) throw state.failure() ?? (await why());
      }
      // An abort shows in the next round.
      await clock.wait(POLL_MS, signal).catch(() => undefined);
    }
  };

  const kill = async (): Promise<void> => {
    await sessions[Symbol.asyncDispose]();
    await command('quit').catch(unlessGone);
    await state.untilEnded();
  };

  return {
    name,
    record,
    node: enter,
    reboot: (deadlineMs, signal) => rebootMachine({ name, node: enter, runner: handle, clock }, deadlineMs, signal),
    stop: async (signal) => {
      await sessions[Symbol.asyncDispose]();
      await command('system_powerdown', signal);
      const ms = SHUTDOWN_MS[record.accelerator];
      const late = new KvciError('timedOut', 'not-shut-down', `${name} has not shut down within ${ms / 1000} s: its power is cut`);
      using patience = deadline(clock, ms, signal, () => late);
      await Promise.race([state.untilEnded(patience.signal), untilAborted(patience.signal)]);
      if (!(await state.running())) return;
      throwIfCancelled(signal);
      parts.events({ type: 'problem', level: 'warning', message: late.message });
      await kill();
    },
    kill,
    console: readConsole,
    openConsole: async () => {
      // QEMU serves one, and lets others connect: what they type would wait for the end of the first.
      const lock = await parts.locks.tryExclusive(join(sandbox.record.folder, name, 'console.lock'));
      if (lock === undefined) throw consoleInUse(name);
      try {
        const stream = await connectSocket(sandbox, sockets.console, name);
        return stream.once('close', () => void lock[Symbol.asyncDispose]());
      } catch (error) {
        await lock[Symbol.asyncDispose]();
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => sessions[Symbol.asyncDispose](),
  };
}

function consoleInUse(name: string): KvciError {
  return new KvciError('notFoundOrExists', 'console-in-use', `somebody else is at the console of ${name}`, {
    hint: 'One at a time can have it; Ctrl-] leaves it.',
    facts: { machine: name },
  });
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}
