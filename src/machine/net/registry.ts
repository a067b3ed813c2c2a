import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { hasErrno, KvciError } from '../../core/errors.ts';
import { renderTemplate, type TemplateSources } from '../../core/template.ts';
import { lastLines } from '../../host/command-error.ts';
import { removeTree, writeFileAtomic } from '../../host/files.ts';
import { freePort, isFree } from '../../host/free-port.ts';
import type { Directories, Locks } from '../../host/types.ts';
import { startDetached } from '../../sandbox/node-engine.ts';
import { putFile } from '../../sandbox/put-file.ts';
import { sandboxRecordSchema } from '../../sandbox/record-schema.ts';
import { type DetachedSandbox, type SandboxRecord, type Sandboxes, toolsOf } from '../../sandbox/types.ts';

/** Inside its sandbox. */
const DATA = '/var/lib/registry';
const CONFIG = '/run/registry.yml';
const LOG = '/run/registry.log';

/** Ends well once it listens, and badly when it has ended before. */
const AWAIT = `until grep -q 'listening on' "$1" 2>/dev/null; do
  pgrep --full '^docker-registry serve' >/dev/null || grep -q 'listening on' "$1" 2>/dev/null || exit 1
  sleep 0.05
done`;

/** For a hang. */
const START_MS = 30_000;

/** How often another port is tried when somebody takes the one that was free a moment ago. */
const PORT_ATTEMPTS = 5;

export interface RegistryParts {
  readonly sandboxes: Sandboxes;
  readonly directories: Pick<Directories, 'state'>;
  readonly locks: Locks;
  /** Of `templates/`. */
  readonly templates: () => Promise<TemplateSources>;
}

interface RegistryRecord {
  readonly version: 1;
  /** Of this host's loopback; kept over restarts, as images are known by it. */
  readonly port: number;
  readonly sandbox?: SandboxRecord | undefined;
}

const recordSchema: z.ZodType<RegistryRecord> = z.object({
  version: z.literal(1),
  port: z.int(),
  sandbox: sandboxRecordSchema.optional(),
});

/**
 * The registry of this user, which all clusters that want one share: a process in a sandbox of its own, at a port of this host's
 * loopback. What is pushed to it lies in the state directory.
 */
export class LocalRegistry {
  readonly #parts: RegistryParts;
  readonly #folder: string;

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.#folder = join(parts.directories.state, 'registry');
  }

  /**
   * Starts it, or finds it; answers its port.
   *
   * @throws KvciError `registry-not-started` with its last words, `port-taken` when somebody has the port that it had before
   */
  async ensure(signal: AbortSignal): Promise<number> {
    await using _lock = await this.#lock(signal);
    const before = await this.#read();
    if (before !== undefined && (await this.#serves(before)) !== undefined) return before.port;
    await this.#end(before);
    for (let attempt = 1; ; attempt += 1) {
      const port = before?.port ?? (await freePort());
      try {
        await this.#start(port, signal);
        return port;
      } catch (error) {
        await this.#end(await this.#read());
        if (!(error instanceof KvciError) || error.code !== 'registry-not-started' || (await isFree(port))) throw error;
        if (before !== undefined) throw portTaken(port, error);
        if (attempt === PORT_ATTEMPTS) throw error;
      }
    }
  }

  /** Its port where it runs. */
  async port(): Promise<number | undefined> {
    const record = await this.#read();
    return record === undefined ? undefined : await this.#serves(record);
  }

  /** The folder of the tools image that it stands on while it runs: what may not be removed. */
  async tools(): Promise<string | undefined> {
    const record = await this.#read();
    const found = record?.sandbox === undefined ? undefined : await this.#parts.sandboxes.find(record.sandbox);
    return toolsOf(found?.record);
  }

  /** Ends it with all that was pushed to it, unless somebody needs it. Answers whether there was one to end. */
  async release(isNeeded: () => Promise<boolean>): Promise<boolean> {
    // Most clusters have none: no lock is made for them.
    if ((await this.#read()) === undefined) return false;
    await using _lock = await this.#lock();
    const record = await this.#read();
    if (record === undefined || (await isNeeded())) return false;
    await this.#end(record);
    await removeTree(join(this.#folder, 'data'));
    await rm(this.#recordPath, { force: true });
    return true;
  }

  get #recordPath(): string {
    return join(this.#folder, 'registry.json');
  }

  async #lock(signal?: AbortSignal): Promise<AsyncDisposable> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return this.#parts.locks.exclusive(join(this.#folder, 'lock'), signal === undefined ? {} : { signal });
  }

  async #read(): Promise<RegistryRecord | undefined> {
    try {
      return recordSchema.parse(JSON.parse(await readFile(this.#recordPath, 'utf8')));
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw new KvciError('failed', 'bad-state-file', `${this.#recordPath} does not tell of kvci's registry`, {
        hint: 'It was not written by this version of kvci. Remove its folder once no cluster has a registry.',
        cause: error,
      });
    }
  }

  async #serves({ sandbox, port }: RegistryRecord): Promise<number | undefined> {
    const found = sandbox === undefined ? undefined : await this.#parts.sandboxes.find(sandbox);
    if (found === undefined) return undefined;
    const { exitCode } = await found.run(['pgrep', '--full', '^docker-registry serve'], { accept: [1] });
    return exitCode === 0 ? port : undefined;
  }

  async #end(record: RegistryRecord | undefined): Promise<void> {
    const found = record?.sandbox === undefined ? undefined : await this.#parts.sandboxes.find(record.sandbox);
    await found?.end();
  }

  async #write(record: RegistryRecord): Promise<void> {
    await writeFileAtomic(this.#recordPath, `${JSON.stringify(record)}\n`, 0o600);
  }

  async #start(port: number, signal: AbortSignal): Promise<void> {
    const { sandboxes, templates } = this.#parts;
    const data = join(this.#folder, 'data');
    await mkdir(data, { recursive: true });
    const record: RegistryRecord = { version: 1, port };
    await this.#write(record);
    const sandbox = await sandboxes.startDetached(
      { name: 'registry', binds: [{ host: data, inside: DATA, writable: true }], network: 'host', cgroups: false, signal },
      (started) => this.#write({ ...record, sandbox: started }),
    );
    await putFile(sandbox, CONFIG, registryConfig(await templates(), port), signal);
    await startDetached(sandbox, LOG, ['docker-registry', 'serve', CONFIG], signal);
    await awaitListening(sandbox, signal);
  }
}

/** The configuration of a registry at a port of loopback. */
export function registryConfig(templates: TemplateSources, port: number): string {
  return renderTemplate(templates, 'registry/config.yml', { folder: DATA, address: `127.0.0.1:${port}` });
}

async function awaitListening(sandbox: DetachedSandbox, signal: AbortSignal): Promise<void> {
  const { exitCode } = await sandbox.run(['sh', '-c', AWAIT, 'sh', LOG], { accept: [1], timeoutMs: START_MS, signal });
  if (exitCode === 0) return;
  const { stdout } = await sandbox.run(['tail', '-n', '20', LOG], { accept: [1] });
  throw new KvciError('failed', 'registry-not-started', `the registry ended before it listened:\n${lastLines(stdout)}`);
}

function portTaken(port: number, cause: unknown): KvciError {
  return new KvciError('notFoundOrExists', 'port-taken', `port ${port} of this host's 127.0.0.1, which the registry had, is taken`, {
    hint: `End what listens there ("ss -ltnp 'sport = :${port}'" shows it), and run the command again.`,
    facts: { port },
    cause,
  });
}
