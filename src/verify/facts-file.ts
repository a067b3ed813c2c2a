import { KvciError, ProblemsError } from '../core/errors.ts';
import { nearest } from '../core/names.ts';
import type { FactsFile } from './expectations.ts';
import { FACTS } from './facts.ts';
import { NETWORK_CASES } from './network-cases.ts';

/**
 * What a schema of one value after the other cannot tell of a file of expectations: names that there are not, names twice.
 *
 * @param name how the file is called in errors
 * @throws ProblemsError `facts-invalid`
 */
export function checkFactsFile({ skip, facts }: FactsFile, name: string): void {
  const known = [...FACTS.map(({ id }) => id), ...NETWORK_CASES.map((network) => network.name)];
  const own = facts.map(({ id }) => id);
  const problems = [
    ...Object.keys(skip)
      .filter((id) => !known.includes(id) && !own.includes(id))
      .map((id) => problem(`${name}: skip: there is no fact or network case "${id}"`, nearest(id, known))),
    ...own
      .filter((id, index) => known.includes(id) || own.indexOf(id) !== index)
      .map((id) => problem(`${name}: facts: there is more than one fact "${id}"`, undefined)),
  ];
  const [first, ...rest] = problems;
  if (first !== undefined) throw new ProblemsError('facts-invalid', `${name} names what there is not:`, [first, ...rest]);
}

function problem(message: string, suggestion: string | undefined): KvciError {
  return new KvciError('usage', 'facts-value', message, suggestion === undefined ? {} : { hint: `Did you mean "${suggestion}"?` });
}
