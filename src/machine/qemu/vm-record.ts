import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';

import { hasErrno, KvciError } from '../../core/errors.ts';
import { Secret } from '../../core/secrets.ts';
import { writeFileAtomic } from '../../host/files.ts';
import type { SshKeyPair } from '../../host/ssh.ts';
import { sandboxRecordSchema } from '../../sandbox/record-schema.ts';
import { SANDBOX_KINDS, type SandboxKind, type SandboxRecord } from '../../sandbox/types.ts';
import type { LanOptions } from '../net/lan.ts';
import type { MachinesSpec, NodeAddresses } from '../types.ts';
import type { DiskSource } from './disk-source.ts';
import { type Accelerator, FIRMWARES, type Firmware } from './qemu-arguments.ts';

/** What a machine can go back to. */
export interface SavedVm {
  /** How many of its disks are frozen since then. */
  readonly disks: number;
  /** Where its own folder has the rest. */
  readonly folder: string;
  /** The keys that are in its memory then, where it has got others since. */
  readonly keys?: { readonly user: SshKeyPair; readonly host?: SshKeyPair | undefined } | undefined;
}

/** A machine as whoever comes later has to know it. */
export interface VmRecord {
  readonly addresses: NodeAddresses;
  /** What it proves itself by; missing where it makes its own. */
  readonly hostKey?: SshKeyPair | undefined;
  readonly accelerator: Accelerator;
  /** As QEMU names it; missing where it was started before that was written down. */
  readonly cpuModel?: string | undefined;
  readonly firmware: Firmware;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  /** It was saved, or goes on from what was. */
  readonly saved?: SavedVm | undefined;
}

/** A sandbox with machines: written before there is anything of it. */
export interface VmSandboxRecord {
  readonly version: 1;
  readonly name: string;
  /** ISO 8601. */
  readonly createdAt: string;
  /** What the machines run from, for people. */
  readonly source: string;
  /** How the sandbox is made; missing: of namespaces. */
  readonly kind?: SandboxKind | undefined;
  /** Socket of the engine that it is made in where it is a container; missing: of one that is looked for. */
  readonly engine?: string | undefined;
  /** Folder of the host with what the machines write. */
  readonly folder: string;
  readonly lan: LanOptions;
  /** Who may log in to all of them. */
  readonly key: SshKeyPair;
  /** Missing while it is being started. */
  readonly sandbox?: SandboxRecord | undefined;
  /** Its network does not stand yet: where nobody is at it any more, all of it is made anew. Missing where it stands. */
  readonly unfinished?: true | undefined;
  /** Stays when whoever started it ends. */
  readonly keep: boolean;
  /** Where the sandbox sees folders of the host. */
  readonly binds: readonly { readonly host: string; readonly inside: string }[];
  /** What its machines are made of, where all are made of one: their own disks are children of it. */
  readonly disk?: DiskSource | undefined;
  readonly machines: Readonly<Record<string, VmRecord>>;
}

const keySchema = z.object({ privateKey: z.string().transform((text) => new Secret(text)), publicKey: z.string() });

const savedSchema = z.object({
  disks: z.number(),
  folder: z.string(),
  keys: z.object({ user: keySchema, host: keySchema.optional() }).optional(),
});

const addressesSchema = z.object({ ipv4: z.string().exactOptional(), ipv6: z.string().exactOptional() });

const schema = z.object({
  version: z.literal(1),
  name: z.string(),
  createdAt: z.string(),
  source: z.string(),
  kind: z.enum(SANDBOX_KINDS).optional(),
  engine: z.string().optional(),
  folder: z.string(),
  lan: z.object({
    families: z.array(z.enum(['ipv4', 'ipv6'])),
    routerAdvertisements: z.boolean(),
    dhcpDelaySeconds: z.number(),
    outbound: z.boolean().optional(),
    joined: z.object({ bridge: z.string(), ipv4: z.string().exactOptional(), ipv6: z.string().exactOptional() }).optional(),
  }),
  key: keySchema,
  sandbox: sandboxRecordSchema.optional(),
  unfinished: z.literal(true).optional(),
  keep: z.boolean(),
  binds: z.array(z.object({ host: z.string(), inside: z.string() })),
  disk: z
    .object({
      path: z.string(),
      architecture: z.enum(['amd64', 'arm64']).optional(),
      directBoot: z.object({ kernel: z.string(), initramfs: z.string(), arguments: z.string() }).optional(),
    })
    .optional(),
  machines: z.record(
    z.string(),
    z.object({
      addresses: addressesSchema,
      hostKey: keySchema.optional(),
      accelerator: z.enum(['kvm', 'tcg']),
      cpuModel: z.string().optional(),
      firmware: z.enum(FIRMWARES),
      cpus: z.number(),
      memory: z.number(),
      saved: savedSchema.optional(),
    }),
  ),
});

/** @throws KvciError `bad-state-file` */
export function parseVmSandboxRecord(text: string, path: string): VmSandboxRecord {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new KvciError('failed', 'bad-state-file', `${path} does not tell of virtual machines of kvci`, {
      hint: 'It was not written by this version of kvci. Remove the file once the machines have ended.',
      cause: error,
    });
  }
}

/** The keys are written out: the file is its owner's alone. */
export function formatVmSandboxRecord(record: VmSandboxRecord): string {
  const keyOut = ({ privateKey, publicKey }: SshKeyPair): object => ({ privateKey: privateKey.reveal(), publicKey });
  const hostKeyOut = (key: SshKeyPair | undefined): object | undefined => (key === undefined ? undefined : keyOut(key));
  const savedOut = ({ keys, ...saved }: SavedVm): object => ({
    ...saved,
    ...(keys === undefined ? {} : { keys: { user: keyOut(keys.user), host: hostKeyOut(keys.host) } }),
  });
  const machines = Object.entries(record.machines).map(([name, machine]) => [
    name,
    {
      ...machine,
      hostKey: hostKeyOut(machine.hostKey),
      saved: machine.saved === undefined ? undefined : savedOut(machine.saved),
    },
  ]);
  return `${JSON.stringify({ ...record, key: keyOut(record.key), machines: Object.fromEntries(machines) as object })}\n`;
}

/** Who a sandbox belongs to: itself, or a cluster, whose state decides how long its machines are kept. */
export const VM_OWNERS = ['machines', 'cluster-machines'] as const;
export type VmOwner = (typeof VM_OWNERS)[number];

/** Records in a folder of the state directory, one file a sandbox. */
export class VmSandboxRecords {
  readonly folder: string;

  constructor({ state }: { readonly state: string }, owner: VmOwner = 'machines') {
    this.folder = join(state, owner);
  }

  path(name: string): string {
    return join(this.folder, `${name}.json`);
  }

  async find(name: string): Promise<VmSandboxRecord | undefined> {
    const path = this.path(name);
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    return text === undefined ? undefined : parseVmSandboxRecord(text, path);
  }

  async write(record: VmSandboxRecord): Promise<void> {
    const path = this.path(record.name);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, formatVmSandboxRecord(record), 0o600);
  }

  /** Writes down that its network stands. */
  async finish({ unfinished: _unfinished, ...record }: VmSandboxRecord): Promise<VmSandboxRecord> {
    await this.write(record);
    return record;
  }

  async remove(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
  }

  /** In order of name. @throws KvciError `bad-state-file` for the first that cannot be read */
  async list(): Promise<readonly VmSandboxRecord[]> {
    const { records, unreadable } = await this.listReadable();
    const [first] = unreadable;
    if (first !== undefined) throw first;
    return records;
  }

  /** Those that can be read, in order of name, and what is wrong with each of the others. */
  async listReadable(): Promise<{ readonly records: readonly VmSandboxRecord[]; readonly unreadable: readonly KvciError[] }> {
    const files = await readdir(this.folder).catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT')) return [];
      throw error;
    });
    const names = files.flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []));
    const read = (name: string): Promise<VmSandboxRecord | KvciError | undefined> =>
      this.find(name).catch((error: unknown) => {
        if (error instanceof KvciError) return error;
        throw error;
      });
    const found = (await Promise.all(names.toSorted().map(read))).filter((one) => one !== undefined);
    return {
      records: found.flatMap((one) => (one instanceof KvciError ? [] : [one])),
      unreadable: found.flatMap((one) => (one instanceof KvciError ? [one] : [])),
    };
  }
}

/** What tells one life of a cluster from another of its name. */
export function sourceOf({ cluster, run }: Pick<MachinesSpec, 'cluster' | 'run'>): string {
  return `cluster ${cluster}, run ${run}`;
}
