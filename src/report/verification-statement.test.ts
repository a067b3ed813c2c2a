import { expect, it } from 'vitest';

import { verificationStatement, type VerificationInput } from './verification-statement.ts';

const DISK = `sha256:${'d'.repeat(64)}` as const;
const FACTS = `sha256:${'f'.repeat(64)}` as const;

const input = (...tests: VerificationInput['tests']): VerificationInput => ({
  subjects: [{ name: 'node.qcow2', digest: DISK }],
  configuration: [{ name: 'facts', digest: FACTS }],
  tests,
  versions: { kvci: '0.1.0' },
  details: { seconds: 1 },
});

it('is an in-toto statement of a test result over digests', () => {
  expect(
    JSON.parse(
      verificationStatement(
        input(
          { name: 'a', status: 'passed' },
          { name: 'b', status: 'failed' },
          { name: 'c', status: 'skipped' },
          { name: 'd', status: 'unknown' },
        ),
      ),
    ),
  ).toEqual({
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'node.qcow2', digest: { sha256: 'd'.repeat(64) } }],
    predicateType: 'https://in-toto.io/attestation/test-result/v0.1',
    predicate: {
      result: 'FAILED',
      configuration: [{ name: 'facts', digest: { sha256: 'f'.repeat(64) } }],
      passedTests: ['a'],
      warnedTests: ['c'],
      failedTests: ['b', 'd'],
      versions: { kvci: '0.1.0' },
      details: { seconds: 1 },
    },
  });
});

it.each([
  [['passed'], 'PASSED'],
  [['passed', 'skipped'], 'WARNED'],
  [['unknown'], 'FAILED'],
] as const)('%j: %s', (statuses, result) => {
  const text = verificationStatement(input(...statuses.map((status, index) => ({ name: String(index), status }))));
  expect(JSON.parse(text)).toMatchObject({ predicate: { result } });
});
