import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { systemClock } from '../host/clock.ts';
import { listedCluster } from './clusters.ts';
import type { ClusterPorts } from './ports.ts';
import { ClusterStates } from './state.ts';

it('a cluster that went away while clusters are listed is none of them', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-list-'));
  const ports = { states: new ClusterStates({ state: folder.path }) } as unknown as ClusterPorts;
  const run = { events: () => undefined, clock: systemClock, signal: new AbortController().signal };
  expect(await listedCluster('gone', ports, run)).toBeUndefined();
});
