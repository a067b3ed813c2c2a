import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

import { systemClock } from '../host/clock.ts';
import type { CommandRunner } from '../host/types.ts';
import { answerTo, ask, command, distinct, file, linesOf, parseAnswers, questionScript, shown } from './ask.ts';

const NEVER = new AbortController().signal;

/** A node that is this host's bash. */
const NODE: CommandRunner = {
  where: 'node',
  run: ([name, ...args], { stdin } = {}) => {
    const stdout = execFileSync(name, args, { input: typeof stdin === 'string' ? stdin : '', encoding: 'utf8' });
    return Promise.resolve({ argv: [name, ...args], exitCode: 0, stdout, stderr: '', ms: 0 });
  },
};

describe('one round trip', () => {
  it('answers every question with its text and exit code', async () => {
    const questions = [
      command('words', 'printf', '%s|', "it's", 'a b', '$HOME'),
      { name: 'both streams', script: 'echo out; echo err >&2; exit 3' },
      { name: 'stdin', script: 'cat' },
      { name: 'state', script: 'cd /; x=1' },
      { name: 'after', script: 'echo "${x-unset}"' },
      { name: 'blank lines', script: "printf 'a\\n\\n\\nb\\n'" },
      file('/proc/sys/kernel/ostype'),
      file('/nowhere/at all'),
    ];
    const look = await ask(NODE, questions, systemClock, NEVER);
    expect(Object.fromEntries(look.answers)).toEqual({
      words: { text: "it's|a b|$HOME|", exitCode: 0 },
      'both streams': { text: 'out\nerr\n', exitCode: 3 },
      stdin: { text: '', exitCode: 0 },
      state: { text: '', exitCode: 0 },
      after: { text: 'unset\n', exitCode: 0 },
      'blank lines': { text: 'a\n\n\nb\n', exitCode: 0 },
      '/proc/sys/kernel/ostype': { text: 'Linux\n', exitCode: 0 },
      '/nowhere/at all': { text: '', exitCode: 1 },
    });
    expect(look.to).toBeGreaterThanOrEqual(look.from);
  });

  it('says which answers are missing when the script ends early', async () => {
    const questions = [command('first', 'true'), { name: 'ends the shell', script: 'kill -9 $$' }, command('last', 'true')];
    const node: CommandRunner = { ...NODE, run: () => Promise.resolve({ argv: [], exitCode: 0, stdout: 'x', stderr: 'gone\n', ms: 0 }) };
    await expect(ask(node, questions, systemClock, NEVER)).rejects.toMatchObject({
      code: 'no-answer',
      message: 'node did not answer first, ends the shell, last',
      hint: 'gone',
    });
  });
});

it('a torn answer is none', () => {
  expect([...parseAnswers('m begin a\nx\n\nm end 0\nm begin b\nhalf', 'm').keys()]).toEqual(['a']);
});

it('a question is asked once', () => {
  expect(distinct([command('a', 'true'), command('b', 'true'), command('a', 'true')]).map(({ name }) => name)).toEqual(['a', 'b']);
  expect(questionScript([command('a', 'true')], 'm')).toContain('echo m begin a\n( true\n) 2>&1 </dev/null\n');
});

it('an answer in a sentence', () => {
  expect(shown({ text: ' \n', exitCode: 4 })).toBe('nothing (exit code 4)');
  expect(shown({ text: '1\n2\n\n3\n4\n5\n6\n7\n', exitCode: 0 })).toBe('2\n3\n4\n5\n6\n7');
  expect(linesOf({ text: 'a\n\nb' })).toEqual(['a', 'b']);
  expect(() => answerTo({ answers: new Map() }, { name: 'x' })).toThrow('nobody asked "x"');
});
