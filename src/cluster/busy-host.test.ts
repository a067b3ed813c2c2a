import { expect, it } from 'vitest';

import type { Event } from '../core/events.ts';
import { systemClock } from '../host/clock.ts';
import { tellBusyHost } from './busy-host.ts';

it.each([
  [0.1, []],
  [0.59, []],
  [0.9, [expect.stringMatching(/busy: .* 90 % of the time/) as string]],
])('%d of the time', async (pressure, told) => {
  const events: Event[] = [];
  const run = { events: (event: Event) => events.push(event), clock: systemClock, signal: new AbortController().signal };
  await tellBusyHost({ cpuPressure: () => Promise.resolve(pressure) }, run);
  expect(events.map((event) => (event.type === 'problem' ? event.message : ''))).toEqual(told);
});
