import { expect, test } from 'vitest';

import { CommandError, lastLines } from './command-error.ts';

const result = { argv: ['do', 'a b'], exitCode: 1, stdout: '', stderr: '', ms: 1 };

test.each([
  [1, 'exit code 1 on node01', undefined],
  [127, 'exit code 127 on node01', 'Exit code 127 usually means that a program is missing on node01.'],
  [137, 'exit code 137 (SIGKILL) on node01', 'SIGKILL from elsewhere usually means that memory ran out.'],
])('exit code %i', (exitCode, words, hint) => {
  const error = new CommandError('node01', { ...result, exitCode });
  expect(error.message).toBe(`command failed with ${words}:\n  do 'a b'`);
  expect([error.hint, error.exitCode, error.facts]).toEqual([hint, 1, { argv: ['do', 'a b'], exitCode }]);
});

test('the last lines of both streams, without empty ones', () => {
  expect(new CommandError('host', { ...result, stdout: 'out\n\n', stderr: 'err\n' }).message).toContain('\n  out\n  err');
  expect(lastLines('1\n2\n \n3\n', 2)).toBe('  2\n  3');
});
