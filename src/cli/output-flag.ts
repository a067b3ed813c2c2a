import type { Command } from 'commander';

/** Formats of a result, which the global `--output` takes. */
const FORMATS = ['text', 'json'];

/**
 * `--output FILE` for a command that makes a file. The words that the global flag of that name takes mean here what they mean everywhere:
 * a file of such a name is `./json`.
 */
export function addOutputFlag(command: Command, what: string): Command {
  return command.option('--output <file>', `${what}; "text" and "json" are the format of the result`, (word: string, before?: string) => {
    if (!FORMATS.includes(word)) return word;
    programOf(command).setOptionValue('output', word);
    return before;
  });
}

function programOf(command: Command): Command {
  return command.parent === null ? command : programOf(command.parent);
}
