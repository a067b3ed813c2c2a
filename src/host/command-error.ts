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
    super(
      'failed',
      'command-failed',
      `command failed with exit code ${String(result.exitCode)} on ${where}:\n  ${shellLine(result.argv)}${last === '' ? '' : `\n${last}`}`,
      {
        ...(result.exitCode === 127 ? { hint: `Exit code 127 usually means that a program is missing on ${where}.` } : {}),
        facts: { argv: result.argv, exitCode: result.exitCode },
      },
    );
    this.result = result;
  }
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
