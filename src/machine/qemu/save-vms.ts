import { basename } from 'node:path';
import { PassThrough } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import { templateSource } from '../../core/template-source.ts';
import type { CommandRunner } from '../../host/types.ts';
import { putFile } from '../../sandbox/put-file.ts';
import { MACHINES_INSIDE } from './launch-vm-sandbox.ts';
import type { QmpClient } from './qmp.ts';
import { freezeDisk, type MemoryPlace, memoryPlace, saveDevices } from './saved-state.ts';
import { diskCount } from './saved-disks.ts';
import { runningVms } from './vm.ts';
import { diskName, savedFiles, socketsOf } from './vm-files.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';
import { connectMonitor } from './vm-sockets.ts';

/** One machine that is about to be saved. */
interface Saving {
  readonly name: string;
  /** Of the sandbox: where it is saved to. */
  readonly folder: string;
  readonly qmp: QmpClient;
  /** How many it has. */
  readonly disks: number;
  readonly copying: Helper;
}

export interface SavedVms {
  /** By machine: how many of its disks are frozen. */
  readonly disks: Readonly<Record<string, number>>;
  readonly pausedMs: number;
}

/** Programs of ours in the sandbox, of `templates/machine/`. */
const COPY = '/run/kvci/copy-memory.pl';
const GUARD = '/run/kvci/let-go-on.pl';

/** A UEFI machine's variables are its own file, which it writes as it runs. */
const KEEP_VARIABLES = 'if [ -e "$1/uefi-variables.fd" ]; then cp -- "$1/uefi-variables.fd" "$2"; fi';

export interface SavePlace {
  /** Of the sandbox, new, with a folder a machine. */
  readonly folder: string;
  /** Of each machine's own: what it goes back to once that is written down of all of them. */
  readonly own: string;
}

/**
 * Saves all machines of a sandbox: they stop at one instant, their memory, devices and disks are written side by side, and they go on,
 * also when it fails or this process is killed. Their disks are frozen; each goes on with a child of its own.
 *
 * @param instant resolves when they are to stop; asked once everything is prepared
 * @throws KvciError `node-stopped`, `qmp-refused`, and what a command of the sandbox throws
 */
export async function saveVms(
  parts: Pick<VmSandboxParts, 'templates' | 'clock'>,
  sandbox: VmSandbox,
  { folder, own }: SavePlace,
  instant: () => Promise<void>,
  signal: AbortSignal,
): Promise<SavedVms> {
  const names = Object.keys(sandbox.record.machines).toSorted();
  const running = await runningVms(sandbox);
  const stopped = names.find((name) => !running.has(name));
  if (stopped !== undefined || names.length === 0) {
    throw new KvciError('notFoundOrExists', 'node-stopped', `${stopped ?? 'the cluster'} does not run: only what runs can be saved`, {
      hint: `Start it first: kvci start ${sandbox.record.name}`,
    });
  }
  for (const path of [GUARD, COPY])
    await putFile(sandbox.runner, path, templateSource(parts.templates, `machine/${basename(path)}`), signal);
  await using held = new AsyncDisposableStack();
  const all = await Promise.all(names.map((name) => prepare(sandbox, name, `${folder}/${name}`, held, signal)));
  const guard = helper(sandbox.runner, ['perl', GUARD, ...names.map((name) => socketsOf(name).monitors[2])], signal);
  held.defer(() => guard.end());
  await Promise.all([guard.ready, ...all.map(({ copying }) => copying.ready)]);
  await instant();

  const started = parts.clock.monotonic();
  try {
    await Promise.all(all.map(({ qmp }) => qmp.execute('stop')));
    await Promise.all(all.flatMap((saving) => [saveOne(saving), saving.copying.go(), keepVariables(sandbox.runner, saving, signal)]));
  } finally {
    await Promise.all(all.map(({ qmp }) => qmp.execute('cont')));
  }
  const pausedMs = Math.round(parts.clock.monotonic() - started);
  await Promise.all(all.map((saving) => keepSaved(sandbox, saving, own, signal)));
  return { disks: Object.fromEntries(all.map(({ name, disks }) => [name, disks])), pausedMs };
}

async function prepare(sandbox: VmSandbox, name: string, folder: string, held: AsyncDisposableStack, signal: AbortSignal): Promise<Saving> {
  const { runner } = sandbox;
  const pid = (await runner.run(['cat', socketsOf(name).pid], { signal })).stdout.trim();
  const disks = await diskCount(runner, name);
  const before = sandbox.record.machines[name]?.saved;
  await dropUnused(runner, name, before?.folder, signal);
  await runner.run(['mkdir', '-p', '-m', '0700', folder], { signal });
  const qmp = held.use(disposable(await connectMonitor(sandbox, socketsOf(name).monitors[1], name, () => undefined))).client;
  const place = await memoryPlace(qmp);
  // What it was started from is in the page cache: copied ahead, the machine stands still for what has changed alone.
  if (place.mapped && before !== undefined) {
    await runner.run(['cp', '--sparse=always', '--', savedFiles(name, before.folder).memory, `${folder}/memory`], { signal });
  }
  const copying = helper(runner, copyArgv(pid, place, `${folder}/memory`), signal);
  held.defer(() => copying.end());
  return { name, folder, qmp, disks, copying };
}

/** The command that copies a machine's memory once it is told to begin. */
export function copyArgv(pid: string, place: MemoryPlace, file: string): [string, ...string[]] {
  const { address, size, mapped } = place;
  return ['perl', COPY, pid, address, String(size), file, mapped ? 'changed' : 'whole'];
}

async function saveOne({ name, folder, qmp, disks }: Saving): Promise<void> {
  await saveDevices(qmp, `${folder}/devices`);
  await freezeDisk(qmp, `${MACHINES_INSIDE}/${name}/${diskName(disks)}`, disks);
}

async function keepVariables(runner: CommandRunner, { name, folder }: Saving, signal: AbortSignal): Promise<void> {
  await runner.run(['sh', '-c', KEEP_VARIABLES, 'sh', `${MACHINES_INSIDE}/${name}`, folder], { signal });
}

/** Links what is saved to where the machine itself has it, and its frozen disks to what is saved. */
const LINK = `saved=$1 own=$2 folder=$2/$3; shift 3
for disk; do ln -- "$own/$disk" "$saved/$disk" || exit; done
mkdir -m 0700 "$folder" || exit
for file in memory devices uefi-variables.fd; do
  if [ -e "$saved/$file" ]; then chmod 0400 "$saved/$file" && ln -- "$saved/$file" "$folder/$file" || exit; fi
done`;

async function keepSaved({ runner }: VmSandbox, { name, folder, disks }: Saving, own: string, signal: AbortSignal): Promise<void> {
  const frozen = Array.from({ length: disks }, (_, index) => diskName(index));
  await runner.run(['sh', '-c', LINK, 'sh', folder, `${MACHINES_INSIDE}/${name}`, own, ...frozen], { signal });
}

const DROP_UNUSED = 'for folder in "$1"/saved-*; do [ "$folder" = "$1/$2" ] || rm -rf -- "$folder"; done';

/** Takes away what a machine can go back to no more, or never could, as of a save that failed. @param used its folder that counts */
export async function dropUnused(runner: CommandRunner, name: string, used: string | undefined, signal: AbortSignal): Promise<void> {
  await runner.run(['sh', '-c', DROP_UNUSED, 'sh', `${MACHINES_INSIDE}/${name}`, used ?? ''], { signal });
}

/** A program of ours that runs in the sandbox: it says when it is ready, and does its work when it is told to. */
interface Helper {
  readonly ready: Promise<void>;
  /** Answers when it has done its work. */
  go(): Promise<void>;
  /** Lets it end; one that has done its work has ended. */
  end(): Promise<void>;
}

function helper(runner: CommandRunner, argv: readonly [string, ...string[]], signal: AbortSignal): Helper {
  const input = new PassThrough();
  const ready = Promise.withResolvers<undefined>();
  let told = false;
  const done = runner.run(argv, {
    stdin: input,
    signal,
    onLine: (line) => {
      if (line === 'ready') ready.resolve(undefined);
    },
  });
  done.catch((error: unknown) => {
    ready.reject(error);
  });
  ready.promise.catch(() => undefined);
  return {
    ready: ready.promise,
    go: async () => {
      told = true;
      input.end('go\n');
      await done;
    },
    end: async () => {
      input.end();
      // One that was never told to begin has nothing to answer for.
      await done.catch((error: unknown) => {
        if (told) throw error;
      });
    },
  };
}

function disposable(client: QmpClient): AsyncDisposable & { readonly client: QmpClient } {
  return {
    client,
    [Symbol.asyncDispose]: () => {
      client[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}
