import { Command, Option } from 'commander';

import { KvciError } from '../core/errors.ts';
import type { Act, CommandModule, Example } from './command.ts';
import { COMMANDS, type CommandEntry, GROUPS } from './commands.ts';

export interface GlobalFlags {
  readonly output: 'text' | 'json' | 'junit';
  readonly progress: 'auto' | 'tty' | 'plain' | 'json' | 'none';
  readonly verbose?: true;
  readonly quiet?: true;
  readonly offline?: true;
  readonly setup?: true;
  readonly config?: string;
}

export interface ProgramOutput {
  write(text: string): void;
  readonly color: boolean;
  readonly columns: number;
}

/** The command tree. Only commands that `wanted` names are loaded; the others are there with name and summary. */
export async function buildProgram(
  version: string,
  act: Act,
  output: ProgramOutput,
  wanted: (entry: CommandEntry) => boolean,
): Promise<Command> {
  const program = new Command('kvci')
    .description('Builds Kubernetes node images the bootc way.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    .addOption(
      new Option('--output <format>', 'format of the result on standard output').choices(['text', 'json', 'junit']).default('text'),
    )
    .addOption(
      new Option('--progress <how>', 'how progress is shown on standard error')
        .choices(['auto', 'tty', 'plain', 'json', 'none'])
        .default('auto'),
    )
    .option('-v, --verbose', 'show the output of every step and every command that is run')
    .option('-q, --quiet', 'show the result and errors only')
    .option('--offline', 'ask nothing of the network')
    .option('--setup', 'first install what the command needs on this host')
    .option('--config <file>', 'read FILE instead of kvci.yaml in the current folder')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => {
        output.write(text);
      },
      // Errors are thrown and shown in one place.
      writeErr: () => undefined,
      outputError: () => undefined,
      getOutHasColors: () => output.color,
      getErrHasColors: () => output.color,
      getOutHelpWidth: () => output.columns,
      getErrHelpWidth: () => output.columns,
    });
  addExamples(program, [
    { line: 'image build --k8s 1.31', what: 'build a node image of the newest 1.31' },
    { line: 'image build --help', what: 'all flags of a command' },
    { line: 'doctor', what: 'find out what this host lacks' },
  ]);
  const groups = new Map<string, Command>();
  for (const entry of COMMANDS) {
    const [first = '', second] = entry.path;
    const parent = second === undefined ? program : (groups.get(first) ?? addGroup(program, groups, first));
    const command = parent.command(second ?? first).description(entry.summary);
    if (wanted(entry)) defineCommand(command, await entry.load(), act);
  }
  return program;
}

function addGroup(program: Command, groups: Map<string, Command>, name: string): Command {
  const group = program.command(name).description(GROUPS[name] ?? '');
  const first = COMMANDS.find((entry) => entry.path[0] === name);
  addExamples(group, [{ line: `${first?.path.join(' ') ?? name} --help`, what: 'flags and examples of one command' }]);
  groups.set(name, group);
  return group;
}

function defineCommand(command: Command, module: CommandModule, act: Act): void {
  module.define(command, act);
  if (module.junit !== true) command.hook('preAction', refuseJunit);
  addExamples(command, module.examples);
}

/** Only what has tests in it is told that way. */
function refuseJunit(_of: Command, command: Command): void {
  if (command.optsWithGlobals<GlobalFlags>().output !== 'junit') return;
  throw new KvciError('usage', 'no-junit', `--output: "${command.name()}" has no results for JUnit`, {
    hint: 'Use text or json.',
    facts: { flag: '--output' },
  });
}

function addExamples(command: Command, examples: readonly Example[]): void {
  const width = Math.max(...examples.map((example) => example.line.length));
  const lines = examples.map((example) => `  $ kvci ${example.line.padEnd(width)}  # ${example.what}`);
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/** True for the commands that a command line can mean: their words stand in it, in order. */
export function namedIn(argv: readonly string[]): (entry: CommandEntry) => boolean {
  return (entry) => {
    let from = 0;
    return entry.path.every((word) => {
      const at = argv.indexOf(word, from);
      from = at + 1;
      return at !== -1;
    });
  };
}
