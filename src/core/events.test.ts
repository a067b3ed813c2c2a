import { expect, test } from 'vitest';

import { type Event, masking } from './events.ts';
import { Secret } from './secrets.ts';

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
