import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { KvciError } from '../core/errors.ts';
import { CommandError } from '../host/command-error.ts';
import { definedOnly, execRunner } from '../host/exec-runner.ts';
import { sandboxLabels, SHARED, throughUser } from './container-request.ts';
import {
  type ContainerSandboxesParts,
  letStay,
  type SandboxEngine,
  startBeside,
  startContainer,
  type StartedContainer,
} from './container-start.ts';
import { endedError } from './ended-error.ts';
import { environmentInside, missingProgram } from './enter.ts';
import type { ContainerRecord, DetachedSandbox, Sandbox, Sandboxes } from './types.ts';

/**
 * Sandboxes that are containers of an engine of this host, Docker or Podman: for hosts whose users may have no namespaces of their
 * own but may use an engine. They are never privileged; `container-request.ts` says what they may.
 */
export function containerSandboxes(parts: ContainerSandboxesParts): Omit<Sandboxes, 'startOverHost'> {
  return {
    start: async (request) => bound(parts, await startContainer(parts, request)),
    startDetached: async (request, keep) => {
      const { record, box, container, entry } = await startContainer(parts, request);
      try {
        await keep(record);
        // While it still ends with kvci: from here on the record tells of it, also of one that somebody has gone on with meanwhile.
        await parts.ledger.forget(entry.entry);
        await letStay(box, record, container);
      } catch (error) {
        container.hangUp();
        await endAll(box, record);
        await entry[Symbol.asyncDispose]();
        throw error;
      }
      return found(parts, box, record, container.id);
    },
    find: async (record) => {
      if (record.kind !== 'container') throw new KvciError('bug', 'other-kind', `the sandbox "${record.name}" is no container`);
      const box = await parts.connect(record.engine, record.name);
      const running = async (network: ContainerRecord['network']): Promise<string | undefined> =>
        (await box.containers.list(sandboxLabels(record.id, network))).find((container) => container.running)?.id;
      const own = await running(record.network);
      if (own !== undefined) return found(parts, box, record, own);
      const main = record.network === 'host' ? await running('private') : undefined;
      if (main !== undefined) return found(parts, box, record, await startBeside(parts, box, record, main));
      // An engine that was killed with it has not removed it.
      await endAll(box, record);
      return undefined;
    },
  };
}

/** Ends a sandbox by what the ledger knows of it; nothing happens when it is gone already. */
export async function endContainerSandbox(
  connect: ContainerSandboxesParts['connect'],
  { engine, id, folder, name }: Pick<ContainerRecord, 'engine' | 'id' | 'folder' | 'name'>,
): Promise<void> {
  await endAll(await connect(engine, name), { id, folder });
}

function bound(parts: ContainerSandboxesParts, { record, box, container, entry }: StartedContainer): Sandbox {
  let disposed = false;
  const ended = container.ended.then(() => {
    if (!disposed) throw endedError(record.name);
  });
  // Whoever does not listen learns it from the next command.
  ended.catch(() => undefined);
  return {
    ...inside(parts, box, record, container.id),
    record,
    ended,
    [Symbol.asyncDispose]: async () => {
      disposed = true;
      container.hangUp();
      await endAll(box, record);
      await entry[Symbol.asyncDispose]();
    },
  };
}

function found(parts: ContainerSandboxesParts, box: SandboxEngine, record: ContainerRecord, id: string): DetachedSandbox {
  return { ...inside(parts, box, record, id), record, end: () => endAll(box, record) };
}

/** The kernel ends all that is in a pid namespace with its first process; the engine answers when that is gone. */
async function endAll({ containers }: SandboxEngine, { id, folder }: Pick<ContainerRecord, 'id' | 'folder'>): Promise<void> {
  // The one beside first: Podman removes none on which another depends.
  for (const network of ['host', 'private'] as const) {
    await Promise.all((await containers.list(sandboxLabels(id, network))).map((container) => containers.remove(container.id)));
  }
  await rm(folder, { recursive: true, force: true });
}

/** The inside of a container, for commands. @param id of the container */
function inside(
  parts: ContainerSandboxesParts,
  { containers }: SandboxEngine,
  record: ContainerRecord,
  id: string,
): Omit<DetachedSandbox, 'record' | 'end'> {
  const { name, folder } = record;
  const through = throughUser(record);
  const runner = execRunner(parts, {
    where: `sandbox ${name}`,
    environment: definedOnly(environmentInside(parts.environment)),
    exec: (request) => containers.exec(id, { ...request, through }),
  });
  const runs = async (): Promise<boolean> =>
    (await containers.list(sandboxLabels(record.id, record.network))).some((container) => container.running);
  return {
    where: runner.where,
    run: async (argv, options) => {
      try {
        return await runner.run(argv, options);
      } catch (error) {
        if (!(error instanceof KvciError) || error.code === 'cancelled' || error.code === 'timed-out') throw error;
        const missing = error instanceof CommandError ? missingProgram(error, argv[0], runner.where) : undefined;
        if (missing !== undefined) throw missing;
        throw (await runs()) ? error : endedError(name);
      }
    },
    outside: (path) => {
      if (path.startsWith(`${SHARED}/`)) return join(folder, path.slice(SHARED.length));
      throw new KvciError('bug', 'not-shared', `the sandbox "${name}" shows its host nothing of ${path}`);
    },
  };
}
