import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { systemClock } from '../host/clock.ts';
import { fileLedger } from '../host/ledger.ts';
import { fileLocks } from '../host/locks.ts';
import { sweepAll, type SweepResult } from '../host/sweep.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import type { HostParts } from './host.ts';
import { hostSweeps } from './sweeps.ts';

/** A host on which no sandbox may be started. */
async function place() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'kvci-sweeps-'));
  const [cache, state, runtime] = ['cache', 'state', 'run'].map((name) => join(folder.path, name)) as [string, string, string];
  const directories = { cache, state, runtime };
  const { signal } = new AbortController();
  const host = { directories, locks: fileLocks(systemClock), ledger: fileLedger(directories), signal } as unknown as HostParts;
  const sandboxes = {} as Sandboxes;
  return {
    state,
    sweep: async (): Promise<SweepResult> => sweepAll(await hostSweeps(host, sandboxes), signal),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

it('where nothing was made nothing goes', async () => {
  await using here = await place();
  expect(await here.sweep()).toEqual({ removed: [], failed: [], unseen: [] });
});

it('what leads to clusters and nobody can read keeps no other sweep from its work', async () => {
  await using here = await place();
  await mkdir(join(here.state, 'ssh-forwards'), { recursive: true });
  await writeFile(join(here.state, 'ssh-forwards/lab.json'), '{');
  const { failed } = await here.sweep();
  expect(failed.map(({ message }) => message)).toEqual([
    expect.stringMatching(/^cannot remove what leads by ssh to lost clusters: .*lab\.json does not tell/),
  ]);
});

it('engines that nobody can name keep no other sweep from its work', async () => {
  await using here = await place();
  await mkdir(here.state);
  await writeFile(join(here.state, 'host-engines.json'), '{');
  const { removed, failed } = await here.sweep();
  expect(removed).toEqual([]);
  expect(failed.map(({ message }) => message)).toEqual([
    expect.stringMatching(/^cannot remove nodes of lost clusters in other engines: .*host-engines\.json does not tell/),
  ]);
});
