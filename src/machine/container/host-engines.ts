import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { hasErrno, isErrno, KvciError, messageOf } from '../../core/errors.ts';
import { engineAddressSchema } from '../../host/engine/address-schema.ts';
import { type EngineAddress, sameEngine } from '../../host/engine/endpoint.ts';
import { writeFileAtomic } from '../../host/files.ts';
import type { Directories, Locks } from '../../host/types.ts';

const recordSchema = z.object({
  version: z.literal(1),
  /** Random. What is made in an engine that others use, too, carries it. */
  owner: z.string(),
  engines: z.array(
    z
      .object({
        address: engineAddressSchema.optional(),
        /** What earlier kvcis wrote. */
        socket: engineAddressSchema.optional(),
        /** What it was when nodes could be in it. */
        suits: z.string().optional(),
      })
      .transform(({ address, socket, suits }, context) => {
        const found = address ?? socket;
        if (found === undefined) {
          context.addIssue('an engine without an address');
          return z.NEVER;
        }
        return { address: found, ...(suits === undefined ? {} : { suits }) };
      }),
  ),
});

type EnginesRecord = z.output<typeof recordSchema>;
type Contents = Omit<EnginesRecord, 'version'>;

/**
 * The engines, kvci's own aside, that nodes of this state directory are or were in: where `prune` looks for what is lost. An engine is
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
      if (isErrno(error)) {
        throw new KvciError('failed', 'bad-state-file', `${this.#path} cannot be read: ${messageOf(error)}`, {
          hint: 'Give it back to the user who runs kvci.',
          cause: error,
        });
      }
      throw new KvciError('failed', 'bad-state-file', `${this.#path} does not tell of engines that nodes are in`, {
        hint: "It was not written by this version of kvci. Remove the file once no cluster is in an engine other than kvci's own.",
        cause: error,
      });
    }
  }

  /** Answers what tells this user's things in the engine from those of others. */
  async enter(address: EngineAddress): Promise<string> {
    const known = await this.read();
    if (known?.engines.some((engine) => sameEngine(engine.address, address)) === true) return known.owner;
    return this.#change(({ owner, engines }) => ({ owner, engines: [...without(engines, address), { address }] }));
  }

  /**
   * Whether nodes can be in an engine, asked once as long as it is what it was.
   *
   * @param what tells the engine from another one at the same address, and this host's boot and network from others
   * @param ask answers why they cannot; one process at a time asks. An engine that was passed over is known no longer, as long as
   *   what `ask` made is gone: where it fails, something may be left
   */
  async suits<T>(address: EngineAddress, what: string, ask: (owner: string) => Promise<T | undefined>): Promise<T | undefined> {
    const isKnown = async (): Promise<boolean> =>
      (await this.read())?.engines.some((engine) => sameEngine(engine.address, address) && engine.suits === what) ?? false;
    if (await isKnown()) return undefined;
    await using _asking = await this.#locks.exclusive(this.#probeLock);
    if (await isKnown()) return undefined;
    const before = await this.read();
    const problem = await ask(await this.enter(address));
    if (problem !== undefined) {
      if (before?.engines.some((engine) => sameEngine(engine.address, address)) !== true)
        await this.forget(address, () => Promise.resolve(false));
      return problem;
    }
    await this.#change(({ owner, engines }) => ({ owner, engines: [...without(engines, address), { address, suits: what }] }));
    return undefined;
  }

  /** Keeps others from asking; undefined while somebody does. */
  tryHoldProbes(): Promise<AsyncDisposable | undefined> {
    return this.#locks.tryExclusive(this.#probeLock);
  }

  /** @param isUsed asked when nobody can enter it: whether a cluster that is known is in it */
  async forget(address: EngineAddress, isUsed: () => Promise<boolean>): Promise<void> {
    await this.#change(async ({ owner, engines }) => ({
      owner,
      engines: (await isUsed()) ? engines : without(engines, address),
    }));
  }

  get #probeLock(): string {
    return `${this.#path}.probe.lock`;
  }

  async #change(change: (record: Contents) => Contents | Promise<Contents>): Promise<string> {
    await using _lock = await this.#locks.exclusive(`${this.#path}.lock`);
    const before = (await this.read()) ?? { owner: randomBytes(8).toString('hex'), engines: [] };
    const after: EnginesRecord = { version: 1, ...(await change(before)) };
    await writeFileAtomic(this.#path, `${JSON.stringify(after)}\n`, 0o600);
    return after.owner;
  }
}

function without(engines: EnginesRecord['engines'], address: EngineAddress): EnginesRecord['engines'] {
  return engines.filter((engine) => !sameEngine(engine.address, address));
}
