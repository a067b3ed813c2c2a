import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';

import type { Clock } from '../../core/clock.ts';
import { hasErrno, KvciError, throwIfCancelled } from '../../core/errors.ts';
import { lastLines } from '../../host/command-error.ts';
import { engineAddressSchema } from '../../host/engine/address-schema.ts';
import { showAddress } from '../../host/engine/endpoint.ts';
import { type SshAddress, sshArgv } from '../../host/engine/ssh-argv.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { freePort, isFree, portIsTaken } from '../../host/free-port.ts';
import { endOwned, startOwned } from '../../host/owned-process.ts';
import { isRunning } from '../../host/processes.ts';
import type { Directories, Locks } from '../../host/types.ts';
import type { MachinesSpec } from '../types.ts';

const LOOPBACK = '127.0.0.1';
const POLL_MS = 25;

/** For a far end that says nothing. */
const FAR_END_MS = 5_000;

/** What is forbidden is told by a line that it prints at this level. */
const SETTINGS = ['LogLevel=INFO'];
const FORBIDDEN = 'administratively prohibited';

const recordSchema = z.object({
  version: z.literal(1),
  cluster: z.string(),
  /** Of the cluster's life. */
  run: z.string(),
  engine: engineAddressSchema,
  /** The port of this host's loopback, and the one of its host's that the engine publishes. */
  port: z.int(),
  published: z.int(),
  /** Written before ssh begins. */
  process: z.object({ pid: z.int(), startTime: z.string() }).optional(),
});

type ForwardRecord = z.output<typeof recordSchema>;
type Owner = Pick<MachinesSpec, 'cluster' | 'run'>;

export interface SshForwardsParts {
  readonly directories: Pick<Directories, 'state'>;
  readonly locks: Locks;
  readonly clock: Clock;
}

/**
 * Ports of this host's loopback that lead, each by an ssh of its own, to what clusters publish on the hosts of their engines. Such a
 * process belongs to its cluster and lives on without kvci; where it has ended, as with a connection that broke, the next command
 * that needs it starts it again, at the same port.
 */
export class SshForwards {
  readonly #folder: string;
  readonly #locks: Locks;
  readonly #clock: Clock;

  constructor({ directories, locks, clock }: SshForwardsParts) {
    this.#folder = join(directories.state, 'ssh-forwards');
    this.#locks = locks;
    this.#clock = clock;
  }

  /**
   * Leads to a port that a cluster publishes, or finds that something does; answers the port of this host's loopback.
   *
   * @param wanted the port that it is to be, or was before
   * @throws KvciError `port-taken`, `forward-failed` with what ssh said
   */
  async ensure(owner: Owner, engine: SshAddress, published: number, wanted: number | undefined, signal: AbortSignal): Promise<number> {
    await using _lock = await this.#lock(owner.cluster, signal);
    const before = await this.#read(owner.cluster);
    const port = wanted ?? (before?.run === owner.run ? before.port : undefined) ?? (await freePort());
    const record: ForwardRecord = { version: 1, cluster: owner.cluster, run: owner.run, engine, port, published };
    if (before !== undefined && leadsAlike(before, record) && (await runs(before))) return port;
    await this.#endProcess(before);
    await this.#start(record, signal);
    return port;
  }

  /** Starts what has led to a cluster and has ended again; nothing where nothing is to lead there. @throws KvciError as {@link ensure} */
  async again({ cluster, run }: Owner, signal: AbortSignal): Promise<void> {
    const known = await this.#read(cluster);
    if (known?.run !== run || (await runs(known))) return;
    await using _lock = await this.#lock(cluster, signal);
    const record = await this.#read(cluster);
    if (record?.run !== run || (await runs(record))) return;
    await this.#start({ ...record, process: undefined }, signal);
  }

  /** Ends what leads to a cluster; what is gone is gone. @param run of one life of it; default: of whichever there is */
  async end(cluster: string, run?: string): Promise<void> {
    if ((await this.#read(cluster)) === undefined) return;
    await using _lock = await this.#lock(cluster);
    const record = await this.#read(cluster);
    if (record === undefined || (run !== undefined && record.run !== run)) return;
    await this.#endProcess(record);
    await rm(this.#log(cluster), { force: true });
    await rm(this.#record(cluster), { force: true });
  }

  /** The clusters, and which life of each, that something leads to or has led to. @throws KvciError `bad-state-file` */
  async owners(): Promise<readonly Owner[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT')) return [];
      throw error;
    });
    const clusters = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
    const records = await Promise.all(clusters.toSorted().map((cluster) => this.#read(cluster)));
    return records.filter((record) => record !== undefined);
  }

  #record(cluster: string): string {
    return join(this.#folder, `${cluster}.json`);
  }

  #log(cluster: string): string {
    return join(this.#folder, `${cluster}.log`);
  }

  async #lock(cluster: string, signal?: AbortSignal): Promise<AsyncDisposable> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return this.#locks.exclusive(join(this.#folder, `${cluster}.lock`), signal === undefined ? {} : { signal });
  }

  async #read(cluster: string): Promise<ForwardRecord | undefined> {
    const path = this.#record(cluster);
    try {
      return recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw new KvciError('failed', 'bad-state-file', `${path} does not tell of what leads to a cluster`, {
        hint: 'It was not written by this version of kvci. Remove the file once no ssh of it runs any more.',
        facts: { file: path },
        cause: error,
      });
    }
  }

  async #endProcess(record: ForwardRecord | undefined): Promise<void> {
    if (record?.process !== undefined) await endOwned(record.process, this.#clock);
  }

  async #start(record: ForwardRecord, signal: AbortSignal): Promise<void> {
    const { cluster, engine, port, published } = record;
    if (engine.transport !== 'ssh') throw new KvciError('bug', 'no-ssh', `${showAddress(engine)} is not reached by ssh`);
    if (!(await isFree(port))) throw portIsTaken(port);
    const save = (process: ForwardRecord['process']): Promise<void> =>
      writeFileAtomic(this.#record(cluster), `${JSON.stringify({ ...record, process })}\n`, 0o600);
    const argv = sshArgv(engine, `${LOOPBACK}:${port}:${LOOPBACK}:${published}`, SETTINGS);
    const process = await startOwned(argv, this.#log(cluster), save);
    try {
      while (!(await connects(port))) {
        throwIfCancelled(signal);
        if (!(await isRunning(process))) throw await this.#failed(record, engine);
        await this.#clock.wait(POLL_MS, signal).catch(() => undefined);
      }
      // Somebody else may listen there, and a server may forward nothing.
      if (!(await isRunning(process)) || (await this.#said(cluster)).includes(FORBIDDEN)) throw await this.#failed(record, engine);
    } catch (error) {
      await endOwned(process, this.#clock);
      throw error;
    }
  }

  async #said(cluster: string): Promise<string> {
    return readFile(this.#log(cluster), 'utf8').catch(() => '');
  }

  async #failed({ cluster, port }: ForwardRecord, engine: SshAddress): Promise<KvciError> {
    const said = lastLines(await this.#said(cluster));
    if (/address already in use|cannot listen to port/i.test(said)) return portIsTaken(port);
    return new KvciError('hostNotReady', 'forward-failed', `no way leads to what ${engine.destination} publishes, by ssh:\n${said}`, {
      hint: said.includes(FORBIDDEN)
        ? `The server forbids it: set "AllowTcpForwarding yes" in sshd_config of ${engine.destination}.`
        : `Try it by hand, without a question for a password: ssh -o BatchMode=yes ${engine.destination} true`,
      facts: { engine: showAddress(engine), port },
    });
  }
}

function leadsAlike(one: ForwardRecord, other: ForwardRecord): boolean {
  const of = ({ run, engine, port, published }: ForwardRecord): string => [run, showAddress(engine), port, published].join(' ');
  return of(one) === of(other);
}

async function runs({ process }: ForwardRecord): Promise<boolean> {
  return process !== undefined && (await isRunning(process));
}

/**
 * Whether somebody listens at a port of this host's loopback: answers when the far end has ended the connection, which is of a
 * protocol that it does not speak.
 */
function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let connected = false;
    const socket = connect({ port, host: LOOPBACK, timeout: FAR_END_MS }, () => {
      connected = true;
      socket.end('GET / HTTP/1.0\r\n\r\n');
      socket.resume();
    });
    socket.on('timeout', () => socket.destroy());
    // What follows an error, too.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve(connected);
    });
  });
}
