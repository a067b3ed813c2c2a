import { readFileSync } from 'node:fs';

import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';

import { configJsonSchema } from './schema.ts';

const published: unknown = JSON.parse(readFileSync(new URL('../../schema/kvci.schema.json', import.meta.url), 'utf8'));

test('the published JSON Schema is current ("make schema" writes it)', () => {
  expect(published).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
});

test('the published JSON Schema accepts and refuses what the parser does', () => {
  const validate = new Ajv2020({ allErrors: true }).compile(published as object);
  expect(validate({ image: { k8s: '1.31', labels: { team: 'ci' } }, cache: { keep: '20G' } })).toBe(true);
  expect(validate({ image: { bsae: 'x' } })).toBe(false);
  expect(validate({ image: { k8s: 1.31 } })).toBe(false);
});
