import completions, { type Command as CompletedCommand } from '@bomb.sh/tab';
import type { Command, Option } from 'commander';

import type { Shell } from './commands/completion.ts';

/** The script that a shell sources; it calls `kvci complete -- WORDS...` at each press of the tab key. */
export function completionScript(shell: Shell): string {
  return printed(() => {
    completions.setup('kvci', 'kvci', shell);
  });
}

/** The answer to such a call: a candidate a line with its description, then a directive for the script. */
export function complete(program: Command, words: readonly string[]): string {
  addOptions(completions, program.options);
  for (const command of program.commands) addCommand(command, [], program.options);
  return printed(() => {
    completions.parse([...words]);
  });
}

function addCommand(command: Command, parents: readonly string[], globals: readonly Option[]): void {
  const path = [...parents, command.name()];
  const completed = completions.command(path.join(' '), command.description());
  addOptions(completed, [...command.options, ...globals]);
  for (const argument of command.registeredArguments) {
    const choices = argument.argChoices ?? [];
    completed.argument(
      argument.name(),
      (candidate) => {
        for (const choice of choices) candidate(choice, '');
      },
      argument.variadic,
    );
  }
  for (const child of command.commands) addCommand(child, path, globals);
}

function addOptions(command: CompletedCommand, options: readonly Option[]): void {
  for (const option of options) {
    const name = option.long?.replace(/^--/, '');
    if (name === undefined) continue;
    const alias = option.short?.replace(/^-/, '');
    if (!option.required && !option.optional) {
      command.option(name, option.description, alias);
      continue;
    }
    const choices = option.argChoices ?? [];
    command.option(
      name,
      option.description,
      (candidate) => {
        for (const choice of choices) candidate(choice, '');
      },
      alias,
    );
  }
}

/** The library answers on the console; this takes what it prints. */
function printed(print: () => void): string {
  const lines: string[] = [];
  /* eslint-disable no-console -- the library has no other output */
  const { log } = console;
  console.log = (line: string) => lines.push(line);
  try {
    print();
  } finally {
    console.log = log;
  }
  /* eslint-enable no-console */
  return lines.join('\n');
}
