import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { hasErrno, KvciError } from '../../core/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import type { Directories, Locks } from '../../host/types.ts';

const recordSchema = z.object({
  version: z.literal(1),
  /** Random. What is made in an engine that others use, too, carries it. */
  owner: z.string(),
  engines: z.array(z.object({ socket: z.string() })),
});

type EnginesRecord = z.output<typeof recordSchema>;
type Contents = Omit<EnginesRecord, 'version'>;

/**
 * The engines of the host that nodes of this state directory are or were in: where `prune` looks for what is lost. An engine is
 * written down before anything is made in it.
 */
export class HostEngines {
  readonly #path: string;
  readonly #locks: Locks;

  constructor({ state }: Pick<Directories, 'state'>, locks: Locks) {
    this.#path = join(state, 'host-engines.json');
    this.#locks = locks;
  }

  /** Undefined where there never was one. @throws KvciError `bad-state-file` */
  async read(): Promise<EnginesRecord | undefined> {
    try {
      return recordSchema.parse(JSON.parse(await readFile(this.#path, 'utf8')));
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw new KvciError('failed', 'bad-state-file', `${this.#path} does not tell of engines that nodes are in`, {
        hint: 'It was not written by this version of kvci. Remove the file once no cluster is in an engine of this host.',
        cause: error,
      });
    }
  }

  /** Answers what tells this user's things in the engine from those of others. */
  async enter(socket: string): Promise<string> {
    const known = await this.read();
    if (known?.engines.some((engine) => engine.socket === socket) === true) return known.owner;
    return this.#change(({ owner, engines }) => ({ owner, engines: [...without(engines, socket), { socket }] }));
  }

  /** @param isUsed asked when nobody can enter it: whether a cluster that is known is in it */
  async forget(socket: string, isUsed: () => Promise<boolean>): Promise<void> {
    await this.#change(async ({ owner, engines }) => ({
      owner,
      engines: (await isUsed()) ? engines : without(engines, socket),
    }));
  }

  async #change(change: (record: Contents) => Contents | Promise<Contents>): Promise<string> {
    await using _lock = await this.#locks.exclusive(`${this.#path}.lock`);
    const before = (await this.read()) ?? { owner: randomBytes(8).toString('hex'), engines: [] };
    const after: EnginesRecord = { version: 1, ...(await change(before)) };
    await writeFileAtomic(this.#path, `${JSON.stringify(after)}\n`, 0o600);
    return after.owner;
  }
}

function without(engines: EnginesRecord['engines'], socket: string): EnginesRecord['engines'] {
  return engines.filter((engine) => engine.socket !== socket);
}
