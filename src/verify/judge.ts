import type { Expectations } from './expectations.ts';
import type { Fact, FactResult, Finding, Lives, Look } from './types.ts';

/** What has been asked so far; what is missing could not be. */
export interface Looks extends Partial<Lives> {
  readonly trial?: Look;
}

const AFTER_REBOOT = 'after a reboot';

/**
 * Judges every fact by what nodes answered.
 *
 * @param trouble why some of it is missing
 */
export function judge(
  facts: readonly Fact[],
  expected: Expectations,
  looks: Looks,
  trouble = 'it could not be asked',
): readonly FactResult[] {
  return facts.map((fact) => {
    const { id, title } = fact;
    const skip = expected.skip[id];
    if (skip !== undefined) return { id, title, status: 'skipped', findings: [], reason: skip };
    const findings = findingsOf(fact, expected, looks);
    if (findings === undefined) return { id, title, status: 'unknown', findings: [], reason: trouble };
    return { id, title, status: findings.length === 0 ? 'passed' : 'failed', findings };
  });
}

/** Undefined when what the fact is told by is missing. A finding that holds again after a reboot is told once. */
function findingsOf(fact: Fact, expected: Expectations, { first, rebooted, copy, trial }: Looks): FactResult['findings'] | undefined {
  switch (fact.when) {
    case 'once':
      return trial === undefined ? undefined : [...fact.check(trial, expected)];
    case 'over-boots':
      return first === undefined || rebooted === undefined || copy === undefined
        ? undefined
        : [...fact.check({ first, rebooted, copy }, expected)];
    case 'each-boot': {
      if (first === undefined) return undefined;
      const before = [...fact.check(first, expected)];
      const after = rebooted === undefined ? [] : [...fact.check(rebooted, expected)];
      const known = new Set(before.map(textOf));
      return [...before, ...after.filter((finding) => !known.has(textOf(finding))).map((finding) => ({ ...finding, boot: AFTER_REBOOT }))];
    }
  }
}

function textOf({ expected, seen, file }: Finding): string {
  return [expected, seen, file].join('\n');
}
