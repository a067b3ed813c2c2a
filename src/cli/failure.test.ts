import { describe, expect, test } from 'vitest';

import { KvciError, ProblemsError } from '../core/errors.ts';
import { asReported, wantsJson } from './failure.ts';
import { renderError } from './render/error.ts';

const quiet = new AbortController().signal;

describe('wantsJson', () => {
  test.each([
    [['--output', 'json'], true],
    [['image', 'list', '--output=json'], true],
    [['--output', 'text'], false],
    [['image', 'list'], false],
    [['--', '--output', 'json'], false],
  ])('%j: %s', (argv, wanted) => {
    expect(wantsJson(argv)).toBe(wanted);
  });
});

describe('asReported', () => {
  test('an expected failure stays what it is', () => {
    const error = new KvciError('timedOut', 'x', 'late');
    expect(asReported(error, quiet)).toBe(error);
  });

  test('anything else is our bug, with its stack and how to report it', () => {
    const reported = asReported(new TypeError('x is not a function'), quiet);
    expect(reported.exitCode).toBe(70);
    expect(renderError(reported, 'text', false)).toMatch(
      /^kvci: x is not a function\n {4}at [^]*\nhint: This is a bug in kvci\. Please report it with the lines above/,
    );
  });

  test('after a signal it is the cancellation, whatever broke on the way', () => {
    const controller = new AbortController();
    controller.abort(new KvciError('terminated', 'cancelled', 'cancelled by SIGTERM'));
    expect(asReported(new Error('socket hang up'), controller.signal)).toMatchObject({ exitCode: 143, code: 'cancelled' });
  });
});

describe('renderError', () => {
  const problems = new ProblemsError(
    'two',
    'two things are wrong:',
    [
      new KvciError('hostNotReady', 'a', 'no mmdebstrap', { hint: 'apt-get install mmdebstrap' }),
      new KvciError('usage', 'b', 'first line\nsecond line', { facts: { flag: '--x' } }),
    ],
    { hint: 'kvci doctor --fix' },
  );

  test('for people', () => {
    expect(renderError(problems, 'text', false)).toBe(
      [
        'kvci: two things are wrong:',
        '  - no mmdebstrap',
        '    hint: apt-get install mmdebstrap',
        '  - first line',
        '    second line',
        'hint: kvci doctor --fix',
        '',
      ].join('\n'),
    );
  });

  test('for scripts', () => {
    expect(JSON.parse(renderError(problems, 'json', true))).toEqual({
      error: {
        code: 'two',
        message: 'two things are wrong:',
        hint: 'kvci doctor --fix',
        exitCode: 3,
        facts: {},
        problems: [
          { code: 'a', message: 'no mmdebstrap', hint: 'apt-get install mmdebstrap', exitCode: 3, facts: {} },
          { code: 'b', message: 'first line\nsecond line', hint: null, exitCode: 2, facts: { flag: '--x' } },
        ],
      },
    });
  });
});

test('of work that failed and could not be cleaned up after, why it failed is told', () => {
  const first = new KvciError('failed', 'engine-lost', 'the engine is gone');
  const both = new SuppressedError(new Error('cannot let go'), first);
  expect(asReported(both, new AbortController().signal)).toBe(first);
});
