import { expect, test } from 'vitest';
import { z } from 'zod';

import { sha256 } from '../../core/digest.ts';
import { factsOf } from './facts.ts';

const schema = z.object({ layers: z.array(z.object({ size: z.number() })) });

function artifact(facts: unknown) {
  const record = { version: 1, kind: 'thing', key: sha256('x'), inputs: {}, title: 'a thing', madeAt: '', size: 1, facts } as const;
  return { path: '/cache/thing/00', record };
}

test('facts are answered as the schema has them', () => {
  expect(factsOf(artifact({ layers: [{ size: 1 }] }), schema)).toEqual({ layers: [{ size: 1 }] });
});

test('facts of another form name the record and the field, and say what to do', () => {
  const read = () => factsOf(artifact({ layers: [{ size: 'big' }] }), schema);
  expect(read).toThrow('/cache/thing/00/record.json (a thing): facts.layers.0.size: ');
  expect(read).toThrow(expect.objectContaining({ code: 'artifact-record', hint: expect.stringContaining('/cache/thing/00') as string }));
});
