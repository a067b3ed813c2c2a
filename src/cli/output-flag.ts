import type { Command } from 'commander';

/**
 * `--output FILE` for a command that makes a file. The words that the global flag of that name takes mean here what they mean everywhere:
 * a file of such a name is `./json`. Commander hands a flag to the program before it asks the command, so the program's hands it on.
 */
export function addOutputFlag(command: Command, what: string): Command {
  const formats = programOf(command).options.find(({ long }) => long === '--output');
  const parseFormat = formats?.parseArg;
  formats?.argParser((word: string, before: unknown): unknown => {
    if (parseFormat === undefined || formats.argChoices?.includes(word) === true) return parseFormat?.(word, before);
    command.setOptionValue('output', word);
    return before;
  });
  return command.option('--output <file>', `${what}; "json" is the format of the result, as everywhere`);
}

function programOf(command: Command): Command {
  return command.parent === null ? command : programOf(command.parent);
}
