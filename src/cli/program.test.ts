import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';

import type { Act } from './command.ts';
import { COMMANDS } from './commands.ts';
import { buildProgram, namedIn } from './program.ts';

const never: Act = () => () => Promise.reject(new Error('no command is run here'));

async function tree(help: string[] = []): Promise<Command> {
  return buildProgram('0.0.0', never, { write: (text) => help.push(text), color: false, columns: 100 }, () => true);
}

function walk(command: Command, path: readonly string[]): { readonly path: readonly string[]; readonly command: Command }[] {
  return [{ path, command }, ...command.commands.flatMap((child) => walk(child, [...path, child.name()]))];
}

describe('every command', async () => {
  const help: string[] = [];
  const program = await tree(help);

  test.each(walk(program, ['kvci']).map(({ path, command }) => ({ name: path.join(' '), command })))(
    '$name: help with examples of its own',
    ({ name, command }) => {
      help.length = 0;
      command.outputHelp();
      const text = help.join('');
      expect(text).toContain(`Usage: ${name} `);
      expect(text).toMatch(new RegExp(`Examples:\n {2}\\$ ${name} `));
      for (const option of command.options) expect(option.description, option.flags).not.toBe('');
      expect(command.description()).not.toBe('');
    },
  );
});

test.each([
  { argv: ['image', 'build', '--k8s', '1.31'], loaded: ['image build'] },
  { argv: ['--output', 'json', 'cache', 'list'], loaded: ['list', 'cache list'] },
  { argv: ['image'], loaded: [] },
  { argv: ['doctor'], loaded: ['doctor'] },
])('$argv loads only $loaded', ({ argv, loaded }) => {
  expect(COMMANDS.filter(namedIn(argv)).map((entry) => entry.path.join(' '))).toEqual(loaded);
});
