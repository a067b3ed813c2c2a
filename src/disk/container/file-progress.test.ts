import { expect, it } from 'vitest';

import { parseProgressFile } from './file-progress.ts';

const stage = { message: 'Stage org.osbuild.mkfs.ext4', done: 3, total: 9 };

it.each([
  ['one level', { message: 'Pipeline build', done: 1, total: 4 }, { done: 1, total: 4, message: 'Pipeline build' }],
  [
    'two',
    { message: 'Pipeline image', done: 2, total: 4, subprogress: stage },
    { done: 2, total: 4, message: 'Stage org.osbuild.mkfs.ext4 (3/9)' },
  ],
  [
    'three',
    { message: 'all', done: 0, total: 1, subprogress: { message: 'Pipeline image', done: 2, total: 4, subprogress: stage } },
    { done: 0, total: 1, message: 'Stage org.osbuild.mkfs.ext4 (3/9)' },
  ],
])('%s', (_name, json, expected) => {
  expect(parseProgressFile(JSON.stringify(json))).toEqual(expected);
});

it.each(['', '{"message": "Pip', '{"message": 1, "done": 0, "total": 1}', 'null', '[]'])('nothing in %s', (text) => {
  expect(parseProgressFile(text)).toBeUndefined();
});
