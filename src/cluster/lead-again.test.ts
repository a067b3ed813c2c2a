import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';

import { clusterState } from '../../test/fixtures/cluster-state.ts';
import type { Event } from '../core/events.ts';
import { KvciError } from '../core/errors.ts';
import { systemClock } from '../host/clock.ts';
import { keptLed, leadAgain } from './lead-again.ts';

const ELSEWHERE = clusterState({}, () => ({ engine: { transport: 'ssh', destination: 'lab', socket: '/run/docker.sock' } }));

function context() {
  const said: Event[] = [];
  const controller = new AbortController();
  return { said, controller, run: { signal: controller.signal, events: (event: Event) => void said.push(event) } };
}

const failing = (error: Error) => ({ leadAgain: () => Promise.reject(error) });

it('only to a cluster in an engine over ssh', async () => {
  const asked: unknown[] = [];
  const ports = { leadAgain: (cluster: unknown) => Promise.resolve(void asked.push(cluster)) };
  const { run } = context();
  await leadAgain(clusterState({}), ports, run);
  await leadAgain(
    clusterState({}, () => ({ engine: { transport: 'unix', path: '/run/docker.sock' } })),
    ports,
    run,
  );
  expect(asked).toEqual([]);
  await leadAgain(ELSEWHERE, ports, run);
  expect(asked).toEqual([{ cluster: 'lab', run: 'abc' }]);
});

it('where it cannot be, that is told and no more', async () => {
  const { run, said } = context();
  await leadAgain(ELSEWHERE, failing(new KvciError('hostNotReady', 'forward-failed', 'no way leads there', { hint: 'Try it' })), run);
  expect(said).toEqual([{ type: 'problem', level: 'warning', message: 'no way leads there', hint: 'Try it' }]);
  await expect(leadAgain(ELSEWHERE, failing(new Error('bug')), run)).rejects.toThrow('bug');
});

it('whoever is cancelled is', async () => {
  const { run, said, controller } = context();
  controller.abort();
  await expect(leadAgain(ELSEWHERE, failing(new KvciError('failed', 'x', 'x')), run)).rejects.toMatchObject({ code: 'cancelled' });
  expect(said).toEqual([]);
});

it('time and again while a cluster is worked on, until that is done', async () => {
  let asked = 0;
  let third: (value: string) => void = () => undefined;
  const clock = { ...systemClock, wait: () => setImmediate() };
  const ports = {
    leadAgain: () => {
      asked += 1;
      if (asked === 3) third('done');
      return Promise.reject(new KvciError('hostNotReady', 'forward-failed', 'no way leads there'));
    },
  };
  const work = (): Promise<string> => new Promise((resolve) => (third = resolve));
  expect(await keptLed(ELSEWHERE, ports, { clock }, work)).toBe('done');
  expect(asked).toBeGreaterThanOrEqual(3);
});
