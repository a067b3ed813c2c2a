import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

import { remoteCommand } from './remote-command.ts';

describe('the line of a remote command', () => {
  it.each([
    [{ argv: ['true'] as const, env: {} }, 'exec env true'],
    [{ argv: ['ls', '-l'] as const, env: {}, cwd: '/a b' }, "cd -- '/a b' && exec env ls -l"],
    [{ argv: ['sh', '-c', 'echo $A'] as const, env: { A: "it's", B: '' } }, "export A='it'\\''s' B='' && exec env sh -c 'echo $A'"],
  ])('%j', (request, line) => {
    expect(remoteCommand(request)).toBe(line);
  });

  it.each(['$(id)', '`id`', '; id', "'", '"', 'a\nb', '*', '~', '\\', '', '-n', '&& false', 'ä', '!x'])('no shell sees %j', (word) => {
    const line = remoteCommand({ argv: ['printf', '%s|%s', word, 'end'], env: { WORD: word } });
    expect(execFileSync('sh', ['-c', line], { encoding: 'utf8' })).toBe(`${word}|end`);
  });

  it('refuses what no shell can set', () => {
    expect(() => remoteCommand({ argv: ['true'], env: { 'A=B;id': '' } })).toThrow(expect.objectContaining({ code: 'bad-variable' }));
  });
});
