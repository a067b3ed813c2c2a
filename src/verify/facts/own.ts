import { shellLine } from '../../core/shell.ts';
import { answerTo, shown } from '../ask.ts';
import type { FactsFile } from '../expectations.ts';
import { NODE_KINDS, type Question, type StateFact } from '../types.ts';

/** The facts of a file of expectations. */
export function ownFacts({ facts }: FactsFile): readonly StateFact[] {
  return facts.map(({ id, title, run, exitCode, matches, file, on }) => {
    const question: Question = { name: `own ${id}`, script: shellLine(run) };
    return {
      id,
      title,
      on: on === undefined ? NODE_KINDS : [on],
      when: 'each-boot',
      asks: () => [question],
      *check(look) {
        const answer = answerTo(look, question);
        if (answer.exitCode !== exitCode)
          yield { expected: `exit code ${exitCode} of ${shellLine(run)}`, seen: `exit code ${answer.exitCode}: ${shown(answer)}`, file };
        else if (matches !== undefined && !new RegExp(matches, 'm').test(answer.text))
          yield { expected: `${shellLine(run)} prints what matches ${matches}`, seen: shown(answer), file };
      },
    };
  });
}
