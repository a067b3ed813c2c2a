import { expect, test } from 'vitest';

import { KvciError } from './errors.ts';
import type { Event } from './events.ts';
import { planStep, type RunContext, runStep, type Step } from './plan.ts';

function context(signal = new AbortController().signal): RunContext & { readonly seen: Event[] } {
  const seen: Event[] = [];
  let now = 0;
  const clock = { now: () => 0, monotonic: () => (now += 100), wait: () => Promise.resolve() };
  return { events: (event) => seen.push(event), clock, signal, seen };
}

function step(found: string | undefined, make: Step<string>['make']): Step<string> {
  return { id: 'base', title: 'Base image', why: 'not in the store', find: () => Promise.resolve(found), make };
}

const never = (): Promise<string> => Promise.reject(new Error('must not run'));

test('a plan runs nothing and says why', async () => {
  expect(await Promise.all([step('there', never), step(undefined, never)].map(planStep))).toEqual([
    { id: 'base', title: 'Base image', action: 'reuse', reason: 'same inputs' },
    { id: 'base', title: 'Base image', action: 'run', reason: 'not in the store' },
  ]);
});

test('what is found is not made', async () => {
  const run = context();
  expect(await runStep(step('there', never), run)).toBe('there');
  expect(run.seen).toEqual([
    { type: 'step.start', step: 'base', title: 'Base image' },
    { type: 'step.end', step: 'base', status: 'reused', ms: 100 },
  ]);
});

test('what is made tells its output and progress', async () => {
  const run = context();
  const made = step(undefined, ({ output, progress }) => {
    output('a line');
    progress(1, 2, 'items', 'one');
    progress(5, undefined, 'bytes');
    return Promise.resolve('made');
  });
  expect(await runStep(made, run)).toBe('made');
  expect(run.seen.slice(1)).toEqual([
    { type: 'step.output', step: 'base', line: 'a line' },
    { type: 'step.progress', step: 'base', done: 1, total: 2, unit: 'items', message: 'one' },
    { type: 'step.progress', step: 'base', done: 5, unit: 'bytes' },
    { type: 'step.end', step: 'base', status: 'done', ms: 100 },
  ]);
});

test('a failure ends the step and is passed on', async () => {
  const run = context();
  await expect(
    runStep(
      step(undefined, () => Promise.reject(new Error('broke'))),
      run,
    ),
  ).rejects.toThrow('broke');
  expect(run.seen.at(-1)).toMatchObject({ type: 'step.end', status: 'failed' });
});

test('a step that is cancelled is told from one that failed; none starts afterwards', async () => {
  const controller = new AbortController();
  const run = context(controller.signal);
  const reason = new KvciError('interrupted', 'cancelled', 'Ctrl-C');
  const aborting = step(undefined, ({ signal }) => {
    controller.abort(reason);
    return Promise.reject(signal.reason as Error);
  });
  await expect(runStep(aborting, run)).rejects.toBe(reason);
  expect(run.seen.at(-1)).toMatchObject({ type: 'step.end', status: 'cancelled' });
  const later = context(controller.signal);
  await expect(runStep(step(undefined, never), later)).rejects.toBe(reason);
  expect(later.seen).toEqual([]);
});
