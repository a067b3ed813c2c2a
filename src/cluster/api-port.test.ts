import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { clusterState } from '../../test/fixtures/cluster-state.ts';
import { KvciError } from '../core/errors.ts';
import { systemClock } from '../host/clock.ts';
import { atApiPort } from './api-port.ts';
import { ClusterRun } from './cluster-run.ts';
import { type ClusterState, ClusterStates } from './state.ts';

/** A cluster whose API was to be at a port that somebody has taken since. */
async function place(change: Partial<ClusterState>) {
  const folder = await mkdtempDisposable(join(tmpdir(), 'kvci-api-port-'));
  const states = new ClusterStates({ state: folder.path });
  const state = clusterState({}, () => ({ apiPort: 24001, ...change }));
  const run = new ClusterRun(state, states, { events: () => undefined, clock: systemClock, signal: new AbortController().signal });
  const did: string[] = [];
  return {
    did,
    port: async () => (await states.find('lab'))?.apiPort,
    work: () =>
      atApiPort(
        run,
        states,
        () => {
          did.push('publish');
          const { apiPort } = run.state;
          return apiPort === 24001
            ? Promise.reject(new KvciError('notFoundOrExists', 'port-taken', 'port 24001 is taken'))
            : Promise.resolve(apiPort);
        },
        () => Promise.resolve(void did.push('undo')),
      ),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

it('a cluster whose port was taken before it had it gets another one', async () => {
  await using here = await place({});
  const port = await here.work();
  expect(port).not.toBe(24001);
  expect(here.did).toEqual(['publish', 'undo', 'publish']);
  expect(await here.port()).toBe(port);
});

it('a cluster that had its port keeps it', async () => {
  await using here = await place({ api: { host: '127.0.0.1', port: 24001 } });
  await expect(here.work()).rejects.toMatchObject({ code: 'port-taken' });
  expect(here.did).toEqual(['publish']);
});
