import { expect, test } from 'vitest';

import { canonicalJson, digestOf, hexOf, isDigest, sha256, shortDigest } from './digest.ts';

/** From `printf abc | sha256sum`. */
const ABC = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

test('writes sha256 as OCI does', () => {
  expect([sha256('abc'), sha256(new TextEncoder().encode('abc'))]).toEqual([ABC, ABC]);
  expect([hexOf(ABC), shortDigest(ABC)]).toEqual([ABC.slice(7), 'ba7816bf8f01']);
});

test.each([ABC.toUpperCase(), ABC.slice(7), `${ABC}0`, ABC.slice(0, -1), `${ABC}\n`, 'sha512:00', ''])('%j is no digest', (text) => {
  expect(isDigest(text)).toBe(false);
});

test('a digest is one', () => {
  expect(isDigest(ABC)).toBe(true);
});

test('equal values have one form, whatever the order of their keys', () => {
  expect(canonicalJson({ b: [1, { d: null, c: undefined }], a: 'x', 10: 1, 9: 2 })).toBe('{"9":2,"10":1,"a":"x","b":[1,{"d":null}]}');
  expect(digestOf({ a: 1, b: { c: 2, d: 3 } })).toBe(digestOf({ b: { d: 3, c: 2 }, a: 1, e: undefined }));
});

test.each([
  [{ a: 1 }, { a: 2 }],
  [{ a: 1 }, { a: '1' }],
  [
    [1, 2],
    [2, 1],
  ],
  [{ a: null }, {}],
  [{ a: { b: 1 } }, { a: {}, b: 1 }],
])('%j and %j differ', (a, b) => {
  expect(digestOf(a)).not.toBe(digestOf(b));
});
