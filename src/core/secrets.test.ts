import { inspect } from 'node:util';
import { expect, test } from 'vitest';

import { maskSecrets, maskUrl, Secret } from './secrets.ts';

test('a secret shows itself nowhere but by reveal', () => {
  const secret = new Secret('hunter22');
  expect(secret.reveal()).toBe('hunter22');
  for (const text of [String(secret), JSON.stringify({ secret }), inspect({ secret }), inspect(secret, { showHidden: true })]) {
    expect(text).not.toContain('hunter22');
  }
});

const secrets = ['pass', 'password', 'a/b c', 'abc'].map((value) => new Secret(value));

test.each([
  ['the password is pass', 'the *** is ***'],
  ['https://me:a%2Fb%20c@host and a/b c', 'https://me:***@host and ***'],
  ['abc is too short to hide', 'abc is too short to hide'],
  ['', ''],
])('%j', (text, expected) => {
  expect(maskSecrets(text, secrets)).toBe(expected);
});

test.each([
  ['https://me:pw@host/path', 'https://***@host/path'],
  ['https://me:p@w@host/a@b', 'https://***@host/a@b'],
  ['https://token@host', 'https://***@host'],
  ['https://host/a@b?c=d@e', 'https://host/a@b?c=d@e'],
  ['https://host?x@y', 'https://host?x@y'],
  ['proxy http://u:p@one, https://u:p@two', 'proxy http://***@one, https://***@two'],
  ['me@host', 'me@host'],
])('%s', (text, expected) => {
  expect(maskUrl(text)).toBe(expected);
});
