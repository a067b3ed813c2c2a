import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Event } from '../../core/events.ts';
import { systemClock } from '../../host/clock.ts';
import { fileLocks } from '../../host/locks.ts';
import { takeTurn, turnsOf } from './turn.ts';

it.each([
  [1, 1],
  [2, 1],
  [3, 1],
  [4, 2],
  [16, 8],
])('%i processors are enough for %i clusters at once', (processors, turns) => {
  expect(turnsOf(processors)).toBe(turns);
});

describe('a turn to go on', () => {
  let folder: string;
  const events: Event[] = [];
  const parts = () => ({
    directories: { state: folder, cache: folder },
    locks: fileLocks(systemClock),
    clock: systemClock,
    events: (event: Event) => events.push(event),
  });
  const { signal } = new AbortController();

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-turn-'));
    events.length = 0;
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('is waited for where all have been taken, which is told, and may be cancelled', async () => {
    const turns = turnsOf(availableParallelism());
    const taken = await Promise.all(Array.from({ length: turns }, (_, at) => takeTurn(parts(), `c${at}`, signal)));
    expect(events).toEqual([]);
    let isMine = false;
    const mine = takeTurn(parts(), 'late', signal).then((turn) => {
      isMine = true;
      return turn;
    });
    await expect.poll(() => events).toMatchObject([{ message: 'late waits until other emulated clusters have gone on' }]);
    await expect(takeTurn(parts(), 'cancelled', AbortSignal.timeout(100))).rejects.toMatchObject({ code: 'cancelled' });
    expect(isMine).toBe(false);
    await taken[0]?.[Symbol.asyncDispose]();
    await (await mine)[Symbol.asyncDispose]();
    await Promise.all(taken.slice(1).map((turn) => turn[Symbol.asyncDispose]()));
  });
});
