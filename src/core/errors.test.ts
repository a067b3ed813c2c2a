import { expect, test } from 'vitest';

import { cancelled, EXIT_CODES, type ExitReason, hasErrno, KvciError, messageOf, ProblemsError } from './errors.ts';

test('exit codes are those that scripts know', () => {
  const reasons = Object.keys(EXIT_CODES).filter((reason): reason is ExitReason => reason !== 'done');
  expect(Object.fromEntries(reasons.map((reason) => [reason, new KvciError(reason, 'x', 'x').exitCode]))).toEqual({
    failed: 1,
    usage: 2,
    hostNotReady: 3,
    timedOut: 4,
    notFoundOrExists: 5,
    bug: 70,
    interrupted: 130,
    terminated: 143,
  });
});

test('an error carries what people and scripts need', () => {
  const cause = new Error('below');
  const error = new KvciError('failed', 'some-code', 'it failed', { hint: 'try', facts: { a: 1 }, cause });
  expect(error).toMatchObject({ name: 'KvciError', code: 'some-code', message: 'it failed', hint: 'try', facts: { a: 1 }, cause });
  expect(new KvciError('failed', 'x', 'x')).toMatchObject({ hint: undefined, facts: {} });
  expect('cause' in new KvciError('failed', 'x', 'x')).toBe(false);
});

test('several problems end with the exit code of the first', () => {
  const problems = [new KvciError('usage', 'a', 'a'), new KvciError('failed', 'b', 'b')] as const;
  const error = new ProblemsError('config-invalid', 'two problems', problems);
  expect(error).toBeInstanceOf(KvciError);
  expect([error.exitCode, error.problems]).toEqual([2, problems]);
});

test('cancelling keeps the reason that main.ts gave', () => {
  const reason = new KvciError('terminated', 'terminated', 'SIGTERM');
  expect(cancelled(AbortSignal.abort(reason))).toBe(reason);
  expect(cancelled(AbortSignal.abort())).toMatchObject({ code: 'cancelled', exitCode: 130 });
});

test('anything thrown has a message; errno is told by code', () => {
  expect([messageOf(new Error('x')), messageOf('text'), messageOf(undefined)]).toEqual(['x', 'text', 'undefined']);
  const error = Object.assign(new Error('x'), { code: 'ENOENT' });
  expect([hasErrno(error, 'EEXIST', 'ENOENT'), hasErrno(error, 'EEXIST'), hasErrno({ code: 'ENOENT' }, 'ENOENT')]).toEqual([
    true,
    false,
    false,
  ]);
});
