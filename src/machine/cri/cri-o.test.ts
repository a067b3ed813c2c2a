import { expect, test } from 'vitest';

import { parseLayers } from './cri-o.ts';

test('layers by both of their digests', () => {
  const text = JSON.stringify([
    { id: 'a', 'compressed-diff-digest': 'sha256:1', 'diff-digest': 'sha256:2' },
    { id: 'b', 'diff-digest': 'sha256:3' },
    { id: 'top of a container' },
  ]);
  expect(parseLayers(text)).toEqual(new Set(['sha256:1', 'sha256:2', 'sha256:3']));
});

test.each(['', '{', '{}', 'null'])('none in %j', (text) => {
  expect(parseLayers(text)).toEqual(new Set());
});
