import { constants } from 'node:os';

import { KvciError } from '../core/errors.ts';
import { shellLine } from '../core/shell.ts';
import type { CommandResult } from './types.ts';

/** How many last lines of a failed command's output an error shows. */
const LAST_LINES = 20;

/** A command that ran and failed: shown pasteable, with its last lines. */
export class CommandError extends KvciError {
  readonly result: CommandResult;

  constructor(where: string, result: CommandResult) {
    const last = lastLines(`${result.stdout}\n${result.stderr}`);
    const signal = signalOf(result.exitCode);
    const code = `${result.exitCode}${signal === undefined ? '' : ` (${signal})`}`;
    super(
      'failed',
      'command-failed',
      `command failed with exit code ${code} on ${where}:\n  ${shellLine(result.argv)}${last === '' ? '' : `\n${last}`}`,
      {
        ...(result.exitCode === 127 ? { hint: `Exit code 127 usually means that a program is missing on ${where}.` } : {}),
        ...(signal === 'SIGKILL' ? { hint: 'SIGKILL from elsewhere usually means that memory ran out.' } : {}),
        facts: { argv: result.argv, exitCode: result.exitCode },
      },
    );
    this.result = result;
  }
}

/** The signal behind an exit code over 128, as shells write it. */
function signalOf(exitCode: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => 128 + number === exitCode)?.[0];
}

/** The last non-empty lines of a text, each indented by two spaces. */
export function lastLines(text: string, count = LAST_LINES): string {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count)
    .map((line) => `  ${line}`)
    .join('\n');
}
