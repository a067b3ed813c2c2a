import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import type { TemplateSources } from '../../core/template.ts';
import type { Ssh } from '../../host/ssh.ts';
import type { CommandRunner, Directories, Ledger, Locks } from '../../host/types.ts';
import type { Architecture } from '../../payload/types.ts';
import type { SandboxRecord, SandboxRequest, Sandboxes } from '../../sandbox/types.ts';
import type { ExecNodeParts } from '../exec-node.ts';
import type { LanOptions } from '../net/lan.ts';
import { openThrough } from '../net/gateway.ts';
import { GATEWAY_SOCKET, startLan } from '../net/lan-services.ts';
import { VM_FOLDER } from './reaper.ts';
import { type VmRecord, type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';

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
  /** What the machines run from, for people. */
  readonly source: string;
  readonly lan: LanOptions;
  /** Files of the host that machines are made of. */
  readonly files: readonly string[];
  /** Stays when kvci ends, until somebody ends it. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
}

/** Where a sandbox sees what its machines write. */
export const MACHINES_INSIDE = '/machines';

/** A sandbox with a network for machines. Whatever ends it ends all machines in it, with all that serves them. */
export interface VmSandbox extends AsyncDisposable {
  readonly runner: CommandRunner;
  readonly record: VmSandboxRecord;
  /** Writes down what has changed of a machine before it changes. */
  keepMachine(name: string, machine: VmRecord): Promise<void>;
  /** Where the sandbox sees a file of the host that it was started with. */
  inside(file: string): string;
  /** Where this process sees a file of the sandbox. */
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
  const records = new VmSandboxRecords(parts.directories);
  await using _lock = await parts.locks.exclusive(join(records.folder, `${name}.lock`), { signal });
  if ((await records.find(name)) !== undefined) throw taken(name);
  const folder = join(parts.directories.cache, 'machines', `${name}-${randomBytes(4).toString('hex')}`);
  const binds = foldersOf(request.files).map((host, index) => ({ host, inside: `/files/${index}`, writable: false }));
  await using undo = new AsyncDisposableStack();
  const entry = undo.use(await parts.ledger.enter(VM_FOLDER, { folder, record: records.path(name) }));
  undo.defer(() => remove(records, name, folder));
  let record: VmSandboxRecord = {
    version: 1,
    name,
    createdAt: new Date(parts.clock.now()).toISOString(),
    source: request.source,
    folder,
    lan: request.lan,
    key: parts.ssh.newKeyPair('kvci'),
    keep,
    machines: {},
  };
  await records.write(record);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const asked: SandboxRequest = {
    name: `machines ${name}`,
    binds: [...binds, { host: folder, inside: MACHINES_INSIDE, writable: true }],
    network: 'private',
    cgroups: false,
    signal,
  };
  const keepRecord = async (sandbox: SandboxRecord): Promise<void> => {
    record = { ...record, sandbox };
    await records.write(record);
  };
  let runner: CommandRunner;
  let endSandbox: () => Promise<void>;
  if (keep) {
    const sandbox = await parts.sandboxes.startDetached(asked, keepRecord);
    runner = sandbox;
    endSandbox = () => sandbox.end();
  } else {
    const sandbox = await parts.sandboxes.start(asked);
    await keepRecord(sandbox.record);
    runner = sandbox;
    endSandbox = async () => {
      await sandbox[Symbol.asyncDispose]();
    };
  }
  undo.defer(endSandbox);
  await startLan(runner, request.lan, parts.templates, signal);
  const resources = undo.move();
  const end = async (): Promise<void> => {
    await resources.disposeAsync();
  };
  // From here on the record tells of a kept one; the ledger would have the next `prune` take it away.
  if (keep) await parts.ledger.forget(entry.entry);
  return vmSandbox(parts, runner, record, binds, keep ? leave : end, end);
}

/** A sandbox that runs, whoever started it. Letting go of it changes nothing. @throws KvciError `machine-not-found`, `machine-ended` */
export async function findVmSandbox(parts: VmSandboxParts, name: string): Promise<VmSandbox> {
  const records = new VmSandboxRecords(parts.directories);
  const record = await records.find(name);
  if (record === undefined) throw notFound(name);
  const sandbox = record.sandbox === undefined ? undefined : await parts.sandboxes.find(record.sandbox);
  if (sandbox === undefined) {
    throw new KvciError('notFoundOrExists', 'machine-ended', `the machine "${name}" has ended`, {
      hint: `Remove what is left of it with "kvci disk boot --end ${name}".`,
      facts: { machine: name },
    });
  }
  const end = async (): Promise<void> => {
    await sandbox.end();
    await remove(records, name, record.folder);
  };
  return vmSandbox(parts, sandbox, record, [], leave, end);
}

/** Ends a sandbox, or removes what is left of one that has ended. @throws KvciError `machine-not-found` */
export async function endVmSandbox(parts: VmSandboxParts, name: string): Promise<void> {
  const records = new VmSandboxRecords(parts.directories);
  const record = await records.find(name);
  if (record === undefined) throw notFound(name);
  if (record.sandbox !== undefined) await (await parts.sandboxes.find(record.sandbox))?.end();
  await remove(records, name, record.folder);
}

/** Letting go of a sandbox that stays. */
function leave(): Promise<void> {
  return Promise.resolve();
}

function vmSandbox(
  parts: VmSandboxParts,
  runner: CommandRunner,
  first: VmSandboxRecord,
  binds: readonly { readonly host: string; readonly inside: string }[],
  letGo: () => Promise<void>,
  end: () => Promise<void>,
): VmSandbox {
  const records = new VmSandboxRecords(parts.directories);
  let record = first;
  const outside = (file: string): string => `/proc/${record.sandbox?.pid ?? 0}/root${file}`;
  return {
    runner,
    get record() {
      return record;
    },
    keepMachine: async (name, machine) => {
      record = { ...record, machines: { ...record.machines, [name]: machine } };
      await records.write(record);
    },
    inside: (file) => {
      const bind = binds.find(({ host }) => host === dirname(file));
      if (bind === undefined) throw new KvciError('bug', 'not-bound', `the sandbox was not started with ${file}`);
      return join(bind.inside, file.slice(bind.host.length + 1));
    },
    outside,
    open: (address, port) => openThrough(outside(GATEWAY_SOCKET), address, port),
    end,
    [Symbol.asyncDispose]: letGo,
  };
}

async function remove(records: VmSandboxRecords, name: string, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await records.remove(name);
}

function foldersOf(files: readonly string[]): readonly string[] {
  return [...new Set(files.map((file) => dirname(file)))];
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
