import { expect, it } from 'vitest';

import type { Event } from '../core/events.ts';
import { tellBusyHost } from './busy-host.ts';

it.each([
  [0.1, []],
  [0.59, []],
  [0.9, [expect.stringMatching(/busy: .* 90 % of the time/) as string]],
])('%d of the time', async (pressure, told) => {
  const events: Event[] = [];
  await tellBusyHost({ cpuPressure: () => Promise.resolve(pressure) }, (event) => events.push(event));
  expect(events.map((event) => (event.type === 'problem' ? event.message : ''))).toEqual(told);
});
