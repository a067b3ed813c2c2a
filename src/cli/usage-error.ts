import type { CommanderError } from 'commander';

import { KvciError } from '../core/errors.ts';

/** What commander found wrong with a command line, as an error of our own: its suggestion becomes the hint. */
export function usageError(error: CommanderError, argv: readonly string[]): KvciError {
  const [first = '', ...rest] = error.message.split('\n');
  const message = first.replace(/^error: /, '');
  const suggestion = /\(Did you mean (.+)\?\)/.exec(rest.join('\n'))?.[1];
  const firstFlag = argv.findIndex((word) => word.startsWith('-'));
  const words = firstFlag === -1 ? argv : argv.slice(0, firstFlag);
  const known = error.code === 'commander.unknownCommand' ? words.slice(0, -1) : words;
  const helpLine = ['kvci', ...known, '--help'].join(' ');
  if (error.code === 'commander.help') {
    return new KvciError('usage', 'missing-command', `"kvci ${words.join(' ')}" needs a command`, { hint: `"${helpLine}" lists them.` });
  }
  return new KvciError('usage', CODES[error.code] ?? 'bad-usage', message, {
    hint: suggestion === undefined ? `"${helpLine}" shows what is possible.` : `Did you mean ${suggestion}?`,
    ...(suggestion === undefined ? {} : { facts: { suggestion } }),
  });
}

const CODES: Readonly<Record<string, string>> = {
  'commander.unknownCommand': 'unknown-command',
  'commander.unknownOption': 'unknown-flag',
  'commander.excessArguments': 'too-many-arguments',
  'commander.missingArgument': 'missing-argument',
  'commander.optionMissingArgument': 'missing-argument',
  'commander.missingMandatoryOptionValue': 'missing-flag',
  'commander.invalidArgument': 'bad-argument',
  'commander.conflictingOption': 'conflicting-flags',
};
