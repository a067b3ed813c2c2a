import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

import { shellLine, shellQuote } from './shell.ts';

test.each([
  ['plain', 'plain'],
  ['/a/b.c=d:e@f+g,h%i_j-k', '/a/b.c=d:e@f+g,h%i_j-k'],
  ['', "''"],
  ['a b', "'a b'"],
  ["it's", `'it'\\''s'`],
  ['$(x)', "'$(x)'"],
  ['~', "'~'"],
])('%j', (word, quoted) => {
  expect(shellQuote(word)).toBe(quoted);
});

test('a shell reads every word back unchanged', () => {
  const words = ['', ' ', "'", "''", '"', '\\', '$HOME', '`x`', '*', 'a\nb', '!', '#', '~', ';', '&', 'Grüße', '-n', '=x', '{a,b}', '\t'];
  const output = execFileSync('sh', ['-c', `printf '%s\\0' ${shellLine(words)}`], { encoding: 'utf8' });
  expect(output.split('\0').slice(0, -1)).toEqual(words);
});
