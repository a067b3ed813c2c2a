import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import type { TemplateSources } from '../../core/template.ts';
import type { Ssh, SshKeyPair } from '../../host/ssh.ts';
import type { CommandRunner, Directories, Ledger, Locks } from '../../host/types.ts';
import type { Architecture } from '../../payload/types.ts';
import type { SandboxFiles, SandboxKind, Sandboxes } from '../../sandbox/types.ts';
import type { ExecNodeParts } from '../exec-node.ts';
import type { LanOptions } from '../net/lan.ts';
import { openThrough } from '../net/gateway.ts';
import { GATEWAY_SOCKET, type LanParts, startLan } from '../net/lan-services.ts';
import { throughEngine, throughHost } from '../net/outbound.ts';
import type { DiskSource } from './disk-source.ts';
import { endJoinedPlace } from './joined-place.ts';
import { bindsOf, launch } from './launch-vm-sandbox.ts';
import { VM_FOLDER } from './reaper.ts';
import { type VmOwner, type VmRecord, type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';

export interface VmSandboxParts extends ExecNodeParts {
  readonly sandboxes: Sandboxes;
  readonly directories: Pick<Directories, 'cache' | 'state'>;
  readonly locks: Locks;
  readonly ledger: Ledger;
  readonly ssh: Ssh;
  /** Of `templates/`. */
  readonly templates: TemplateSources;
  readonly architecture: Architecture;
  /** Bytes. */
  readonly memoryAvailable: () => Promise<number>;
}

export interface VmSandboxRequest {
  readonly name: string;
  /** Default: a sandbox of its own. */
  readonly owner?: VmOwner;
  /** Default: namespaces. */
  readonly kind?: SandboxKind;
  /** Socket of the engine for one that is a container; default: one that is looked for. */
  readonly engine?: string | undefined;
  /** What the machines run from, for people. */
  readonly source: string;
  readonly lan: LanOptions;
  /** Files of the host that machines are made of. */
  readonly files: readonly string[];
  /** Written down for those that are made later. */
  readonly disk?: DiskSource;
  /** Stays when kvci ends, until somebody ends it. */
  readonly keep: boolean;
  /** Who may log in to its machines; default: a new key. */
  readonly key?: SshKeyPair;
  readonly signal: AbortSignal;
}

/** A sandbox with a network for machines. Whatever ends it ends all machines in it, with all that serves them. */
export interface VmSandbox extends AsyncDisposable {
  readonly runner: CommandRunner;
  readonly record: VmSandboxRecord;
  /** Writes down what has changed of a machine before it changes. */
  keepMachine(name: string, machine: VmRecord): Promise<void>;
  /** The same of several, all at once or none. */
  keepMachines(machines: Readonly<Record<string, VmRecord>>): Promise<void>;
  /** Writes down who may log in from now on. */
  keepKey(key: SshKeyPair): Promise<void>;
  /** Of a machine that is gone. */
  forgetMachine(name: string): Promise<void>;
  /** Where the sandbox sees a file of the host that it was started with. */
  inside(file: string): string;
  /** Where this process sees a file of the sandbox that is below `/run/kvci`. */
  outside(file: string): string;
  /** A TCP connection to an address of the network, which ends at once where nobody answers. */
  open(address: string, port: number): Promise<Duplex>;
  /** Ends it, and removes what its machines wrote. */
  end(): Promise<void>;
}

/**
 * Starts a sandbox with a network for machines. Letting go of one that is not kept ends it.
 *
 * @throws KvciError `name-taken`, and what a sandbox throws
 */
export async function startVmSandbox(parts: VmSandboxParts, request: VmSandboxRequest): Promise<VmSandbox> {
  const { name, keep, signal } = request;
  const records = new VmSandboxRecords(parts.directories, request.owner);
  // One for all names: locks stay, and names are many. It takes a moment to start a sandbox.
  await using _lock = await parts.locks.exclusive(join(records.folder, 'start.lock'), { signal });
  const before = await records.find(name);
  if (before !== undefined) {
    // Whoever starts one holds the lock that we hold: what does not run was left by a kvci that was killed.
    if (before.keep || (await openVmSandbox(parts, records, before)) !== undefined) throw taken(name);
    await endRecorded(parts, records, before);
  }
  const record: VmSandboxRecord = {
    version: 1,
    name,
    createdAt: new Date(parts.clock.now()).toISOString(),
    source: request.source,
    ...(request.kind === undefined ? {} : { kind: request.kind }),
    ...(request.engine === undefined ? {} : { engine: request.engine }),
    folder: join(parts.directories.cache, 'machines', `${name}-${randomBytes(4).toString('hex')}`),
    lan: request.lan,
    key: request.key ?? parts.ssh.newKeyPair('kvci'),
    unfinished: true,
    keep,
    binds: bindsOf(request.files),
    ...(request.disk === undefined ? {} : { disk: request.disk }),
    machines: {},
  };
  const { folder } = record;
  await using undo = new AsyncDisposableStack();
  // Those of a cluster are told of by its state, and are whoever's who goes on: the ledger would have `prune` take them away.
  const entry =
    request.owner === 'cluster-machines'
      ? undefined
      : undo.use(await parts.ledger.enter(VM_FOLDER, { folder, record: records.path(name) }));
  undo.defer(() => remove(records, name, folder));
  await records.write(record);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { runner, endSandbox, ...launched } = await launch(parts.sandboxes, records, record, signal);
  undo.defer(endSandbox);
  const started = await finish(parts, records, launched.started, runner, signal);
  const resources = undo.move();
  const end = async (): Promise<void> => {
    await resources.disposeAsync();
  };
  // From here on the record tells of a kept one; the ledger would have the next `prune` take it away.
  if (keep && entry !== undefined) await parts.ledger.forget(entry.entry);
  return vmSandbox(records, started, { ...placeOf(started, runner), letGo: keep ? leaveSandbox : end, end });
}

/**
 * Starts a sandbox anew that was kept and has ended, as after a reboot of the host, or was never finished: its machines are as their
 * disks have them.
 *
 * @param files as when it was started first; they may lie elsewhere by now
 */
export async function restartVmSandbox(
  parts: VmSandboxParts,
  records: VmSandboxRecords,
  before: VmSandboxRecord,
  files: readonly string[],
  signal: AbortSignal,
): Promise<VmSandbox> {
  await endSandboxOf(parts, before);
  // Whoever was killed may have got no further than the record.
  if (before.unfinished === true) await mkdir(before.folder, { recursive: true, mode: 0o700 });
  const record: VmSandboxRecord = { ...before, unfinished: true, binds: bindsOf(files) };
  const { started, runner, endSandbox } = await launch(parts.sandboxes, records, record, signal);
  try {
    return found(parts, records, await finish(parts, records, started, runner, signal), runner);
  } catch (error) {
    await endSandbox();
    throw error;
  }
}

/** Makes the network of a sandbox, and writes down that it stands. */
async function finish(
  parts: VmSandboxParts,
  records: VmSandboxRecords,
  started: VmSandboxRecord,
  runner: CommandRunner,
  signal: AbortSignal,
): Promise<VmSandboxRecord> {
  await startLan(runner, started.lan, lanParts(parts, started), signal);
  return records.finish(started);
}

function lanParts(parts: VmSandboxParts, started: VmSandboxRecord): LanParts {
  const reachOutside = started.kind === 'container' ? throughEngine : throughHost(() => withHostNetwork(parts, started));
  return { ...parts, reachOutside };
}

/** A sandbox that runs, whoever started it. Letting go of it changes nothing. @throws KvciError `machine-not-found`, `machine-ended` */
export async function findVmSandbox(parts: VmSandboxParts, name: string): Promise<VmSandbox> {
  const records = new VmSandboxRecords(parts.directories);
  const record = await records.find(name);
  if (record === undefined) throw notFound(name);
  const sandbox = await openVmSandbox(parts, records, record);
  if (sandbox !== undefined) return sandbox;
  throw new KvciError('notFoundOrExists', 'machine-ended', `the machine "${name}" has ended`, {
    hint: `Remove what is left of it with "kvci disk boot --end ${name}".`,
    facts: { machine: name },
  });
}

/** The sandbox of a record; undefined when it has ended. */
export async function openVmSandbox(
  parts: VmSandboxParts,
  records: VmSandboxRecords,
  record: VmSandboxRecord,
): Promise<VmSandbox | undefined> {
  const sandbox = record.sandbox === undefined ? undefined : await parts.sandboxes.find(record.sandbox);
  return sandbox === undefined ? undefined : found(parts, records, record, sandbox);
}

function found(parts: VmSandboxParts, records: VmSandboxRecords, record: VmSandboxRecord, runner: CommandRunner & SandboxFiles): VmSandbox {
  return vmSandbox(records, record, {
    ...placeOf(record, runner),
    letGo: leaveSandbox,
    end: () => endRecorded(parts, records, record),
  });
}

/** Ends a sandbox, or removes what is left of one that has ended. @throws KvciError `machine-not-found` */
export async function endVmSandbox(parts: VmSandboxParts, name: string): Promise<void> {
  const records = new VmSandboxRecords(parts.directories);
  const record = await records.find(name);
  if (record === undefined) throw notFound(name);
  await endRecorded(parts, records, record);
}

/** Ends what a record tells of, with all that its machines wrote. */
export async function endRecorded(
  parts: Pick<VmSandboxParts, 'sandboxes'>,
  records: VmSandboxRecords,
  record: VmSandboxRecord,
): Promise<void> {
  await endSandboxOf(parts, record);
  await remove(records, record.name, record.folder);
}

/** Ends what of it runs; what its machines wrote stays. */
export async function endSandboxOf(
  { sandboxes }: Pick<VmSandboxParts, 'sandboxes'>,
  { name, sandbox, lan, machines }: Pick<VmSandboxRecord, 'name' | 'sandbox' | 'lan' | 'machines'>,
): Promise<void> {
  const running = sandbox === undefined ? undefined : await sandboxes.find(sandbox);
  if (lan.joined === undefined) await running?.end();
  else if (running !== undefined) {
    const addresses = Object.values(machines).map((machine) => machine.addresses);
    await endJoinedPlace(running, name, addresses);
  }
}

/** The same sandbox, entered without its network: loopback is this host's. @throws KvciError `sandbox-ended` */
export async function withHostNetwork(
  { sandboxes }: Pick<VmSandboxParts, 'sandboxes'>,
  { name, sandbox }: Pick<VmSandboxRecord, 'name' | 'sandbox'>,
): Promise<CommandRunner> {
  const found = sandbox === undefined ? undefined : await sandboxes.find({ ...sandbox, network: 'host' });
  if (found !== undefined) return found;
  throw new KvciError('failed', 'sandbox-ended', `the sandbox of the machines "${name}" has ended`);
}

/** Letting go of a sandbox that stays. */
export function leaveSandbox(): Promise<void> {
  return Promise.resolve();
}

/** Where a sandbox is and how it ends. */
export interface VmSandboxPlace extends Pick<VmSandbox, 'runner' | 'inside' | 'outside' | 'open' | 'end'> {
  /** What disposing it does. */
  readonly letGo: () => Promise<void>;
}

function placeOf(record: VmSandboxRecord, runner: CommandRunner & SandboxFiles): Omit<VmSandboxPlace, 'letGo' | 'end'> {
  return {
    runner,
    inside: (file) => insideOf(record, file),
    outside: (file) => runner.outside(file),
    open: (address, port) => openThrough(runner.outside(GATEWAY_SOCKET), address, port),
  };
}

/** Where a sandbox sees a file of the host. */
export function insideOf({ binds }: Pick<VmSandboxRecord, 'binds'>, file: string): string {
  const bind = binds.find(({ host }) => host === dirname(file));
  if (bind === undefined) throw new KvciError('bug', 'not-bound', `the sandbox was not started with ${file}`);
  return join(bind.inside, file.slice(bind.host.length + 1));
}

export function vmSandbox(records: VmSandboxRecords, first: VmSandboxRecord, { letGo, ...place }: VmSandboxPlace): VmSandbox {
  let record = first;
  let writing = Promise.resolve();
  const write = (change: Partial<Pick<VmSandboxRecord, 'machines' | 'key'>>): Promise<void> => {
    record = { ...record, ...change };
    // One after the other: what was written first must not come last.
    writing = writing.then(() => records.write(record));
    return writing;
  };
  return {
    ...place,
    get record() {
      return record;
    },
    keepMachine: (name, machine) => write({ machines: { ...record.machines, [name]: machine } }),
    keepMachines: (machines) => write({ machines: { ...record.machines, ...machines } }),
    keepKey: (key) => write({ key }),
    forgetMachine: (name) => write({ machines: Object.fromEntries(Object.entries(record.machines).filter(([other]) => other !== name)) }),
    [Symbol.asyncDispose]: letGo,
  };
}

async function remove(records: VmSandboxRecords, name: string, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await records.remove(name);
}

function taken(name: string): KvciError {
  return new KvciError('notFoundOrExists', 'name-taken', `there is a machine "${name}" already`, {
    hint: `Give this one another name with --name, or end that one: "kvci disk boot --end ${name}".`,
    facts: { machine: name },
  });
}

function notFound(name: string): KvciError {
  return new KvciError('notFoundOrExists', 'machine-not-found', `there is no machine "${name}"`, {
    hint: '"kvci disk boot --list" shows those that there are.',
    facts: { machine: name },
  });
}
