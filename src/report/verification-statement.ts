import { type Digest, hexOf, type Json } from '../core/digest.ts';

export interface VerificationInput {
  /** What was tested: the disk, the image. */
  readonly subjects: readonly { readonly name: string; readonly digest: Digest }[];
  /** What it was tested by. */
  readonly configuration: readonly { readonly name: string; readonly digest: Digest }[];
  readonly tests: readonly { readonly name: string; readonly status: 'passed' | 'failed' | 'skipped' | 'unknown' }[];
  /** Programs that took part, by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** Everything else that is worth keeping: seconds, findings. */
  readonly details: Json;
}

/**
 * The result of a verification as an in-toto statement, unsigned: publishing signs it. The predicate is in-toto's own for test
 * results, with two fields more, which its readers ignore.
 *
 * https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
 */
export function verificationStatement({ subjects, configuration, tests, versions, details }: VerificationInput): string {
  const named = (...statuses: readonly string[]): string[] =>
    tests.filter(({ status }) => statuses.includes(status)).map(({ name }) => name);
  const failed = named('failed', 'unknown');
  const skipped = named('skipped');
  const statement: Json = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: subjects.map(resource),
    predicateType: 'https://in-toto.io/attestation/test-result/v0.1',
    predicate: {
      result: failed.length > 0 ? 'FAILED' : skipped.length > 0 ? 'WARNED' : 'PASSED',
      configuration: configuration.map(resource),
      passedTests: named('passed'),
      warnedTests: skipped,
      failedTests: failed,
      versions: { ...versions },
      details,
    },
  };
  return `${JSON.stringify(statement, undefined, 2)}\n`;
}

function resource({ name, digest }: { readonly name: string; readonly digest: Digest }): Json {
  return { name, digest: { sha256: hexOf(digest) } };
}
