import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import type { JobRequest, Jobs } from '../../host/engine/jobs.ts';
import { fileLedger } from '../../host/ledger.ts';
import type { ContainerEngine, Ledger } from '../../host/types.ts';
import { hostConverterEngine } from './engines.ts';
import { converterReaper, recorded } from './reaper.ts';
import type { ConverterEngine } from './types.ts';

const HOST = { socket: '/run/podman/podman.sock' } as ConverterEngine;
const OWN = { socket: undefined } as ConverterEngine;

async function withLedger(test: (ledger: Ledger, entered: object[]) => Promise<void>): Promise<void> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-ledger-'));
  const ledger = fileLedger({ state: folder.path });
  const entered: object[] = [];
  await test(
    {
      ...ledger,
      enter: async (kind, resource) => {
        const entry = await ledger.enter(kind, resource);
        entered.push(resource);
        const forget = entry[Symbol.asyncDispose].bind(entry);
        return { entry: entry.entry, [Symbol.asyncDispose]: () => forget().then(() => void entered.splice(entered.indexOf(resource), 1)) };
      },
    },
    entered,
  );
}

it('what is in an engine stands in the ledger while it is there', () =>
  withLedger(async (ledger, entered) => {
    await recorded(ledger, HOST, { container: 'c1' }, () => {
      expect(entered).toEqual([{ socket: HOST.socket, container: 'c1' }]);
      return Promise.resolve();
    });
    expect(entered).toEqual([]);
  }));

it('every container of an engine that stays stands there, also one that only asks', () =>
  withLedger(async (ledger, entered) => {
    const run: Jobs['run'] = () => {
      expect(entered).toEqual([{ socket: '/a', container: 'c1' }]);
      return Promise.resolve({ exitCode: 0, outOfMemory: false, stdout: '', stderr: '' });
    };
    const parts = { engine: {} as ContainerEngine, jobs: { run } as Jobs, socket: '/a', ledger };
    const { exitCode } = await hostConverterEngine(parts).jobs.run({ name: 'c1' } as JobRequest, new AbortController().signal);
    expect(exitCode).toBe(0);
    expect(entered).toEqual([]);
  }));

it.each([
  ['fails', 'converter-failed', 0],
  ['loses the engine: nobody knows what is left', 'engine-lost', 1],
])('a conversion that %s', (_how, code, left) =>
  withLedger(async (ledger, entered) => {
    const failing = recorded(ledger, HOST, { image: 'i1' }, () => Promise.reject(new KvciError('failed', code, code)));
    await expect(failing).rejects.toMatchObject({ code });
    expect(entered).toHaveLength(left);
  }),
);

it("kvci's own engine ends with kvci, and needs no entry", () =>
  withLedger((ledger, entered) =>
    recorded(ledger, OWN, { container: 'c1' }, () => {
      expect(entered).toEqual([]);
      return Promise.resolve();
    }),
  ));

it('prune removes containers and images where they are', async () => {
  const removed: string[] = [];
  const remover = (what: string) => (socket: string) =>
    Promise.resolve({ remove: (name: string) => Promise.resolve(void removed.push(`${what} ${name} ${socket}`)) });
  const reaper = converterReaper({ connectJobs: remover('container'), connectImages: remover('image') });
  await reaper.reap({ socket: '/a', container: 'c1' });
  await reaper.reap({ socket: '/b', image: 'i1' });
  expect(removed).toEqual(['container c1 /a', 'image i1 /b']);
  expect(reaper.describe({ socket: '/a', container: 'c1' })).toBe('container c1 in /a');
  expect(reaper.describe({ socket: '/b', image: 'i1' })).toBe('image i1 in /b');
});
