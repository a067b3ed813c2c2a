import { expect, test } from 'vitest';

import { type Event, masking, toAll } from './events.ts';
import { Secret } from './secrets.ts';

test('every sink gets every event', () => {
  const a: Event[] = [];
  const b: Event[] = [];
  const event: Event = { type: 'problem', level: 'note', message: 'x' };
  toAll(
    (event) => a.push(event),
    (event) => b.push(event),
  )(event);
  expect([a, b]).toEqual([[event], [event]]);
});

test('secrets are masked in every text, however deep; also those found later', () => {
  const seen: Event[] = [];
  const secrets = new Set<Secret>();
  const sink = masking(secrets, (event) => seen.push(event));
  const command: Event = { type: 'command', argv: ['login', '--password=hunter22'], where: 'host', ms: 5, exitCode: null };
  sink(command);
  secrets.add(new Secret('hunter22'));
  sink(command);
  sink({ type: 'plan', steps: [{ id: 'a', title: 'with hunter22', action: 'run', reason: 'why' }] });
  expect(seen).toEqual([
    command,
    { ...command, argv: ['login', '--password=***'] },
    { type: 'plan', steps: [{ id: 'a', title: 'with ***', action: 'run', reason: 'why' }] },
  ]);
});
