import { describe, expect, it } from 'vitest';

import { parsePreload, parsePreloadList } from './preload-list.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('what is to be preloaded', () => {
  it('has the name that pods use and a digest that it is got by', () => {
    expect(parsePreload(`greeter:1@${DIGEST}`)).toEqual({
      name: 'docker.io/library/greeter:1',
      pinned: `docker.io/library/greeter@${DIGEST}`,
    });
  });

  it.each([
    ['greeter:1', 'has no digest'],
    ['greeter', 'has no digest'],
    [`greeter@${DIGEST}`, 'has no tag'],
    ['greeter:1@sha256:abc', 'is not a sha256 digest'],
    ['', 'it is empty'],
  ])('%j is refused', (text, message) => {
    expect(() => parsePreload(text)).toThrow(message);
  });

  it.each([
    ['a,b', ['a', 'b']],
    ['a, b,\n', ['a', 'b']],
    ['# what we run\na\n\n  b # and this\n', ['a', 'b']],
    ['', []],
  ])('%j is a list', (text, words) => {
    expect(parsePreloadList(text)).toEqual(words);
  });
});
