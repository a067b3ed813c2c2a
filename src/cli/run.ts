import { type Command, CommanderError } from 'commander';

import { loadConfig } from '../config/load.ts';
import { type EventSink, masking } from '../core/events.ts';
import type { RunContext } from '../core/plan.ts';
import { maskSecrets, type Secret } from '../core/secrets.ts';
import { systemClock } from '../host/clock.ts';
import type { Act, CommandContext, CommandResult } from './command.ts';
import { buildProgram, type GlobalFlags, namedIn, type ProgramOutput } from './program.ts';
import { createProgress } from './progress/create.ts';
import type { Services, ServiceSettings } from './services.ts';
import type { Terminal } from './terminal.ts';
import { usageError } from './usage-error.ts';

/** What the command line needs of the process it runs in. */
export interface CliHost {
  readonly version: string;
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Filled by whoever reads a secret; what is shown is masked with it. */
  readonly secrets: Set<Secret>;
  createServices(settings: ServiceSettings, run: RunContext): Services;
}

interface Answer {
  readonly result: CommandResult;
  readonly flags: GlobalFlags;
}

/**
 * Parses a command line, runs its command and writes the result.
 *
 * @returns the exit code
 * @throws KvciError for everything that is expected to go wrong
 */
export async function runCli(argv: readonly string[], host: CliHost): Promise<number> {
  const answers: Answer[] = [];
  const help: string[] = [];
  const output: ProgramOutput = {
    write: (text) => help.push(text),
    color: host.stdout.color,
    columns: host.stdout.columns(),
  };
  const act: Act = (handler) =>
    async function (this: Command): Promise<void> {
      const flags = this.optsWithGlobals<GlobalFlags>();
      const progress = createProgress(flags, host.stderr, systemClock);
      const sinks = new Set([progress.sink]);
      const events = masking(host.secrets, (event) => {
        for (const sink of sinks) sink(event);
      });
      const onAbort = (): void => {
        events({ type: 'problem', level: 'note', message: 'cancelling and cleaning up; a second signal ends kvci at once' });
      };
      host.signal.addEventListener('abort', onAbort, { once: true });
      try {
        const context = createContext(flags, host, events, sinks);
        answers.push({
          result: await handler(context, this.opts(), this.processedArgs as unknown as Parameters<typeof handler>[2]),
          flags,
        });
      } finally {
        host.signal.removeEventListener('abort', onAbort);
        progress.close();
      }
    };
  if (argv[0] === 'complete' && argv[1] === '--') {
    const { complete } = await import('./completion.ts');
    await host.stdout.write(`${complete(await buildProgram(host.version, act, output, () => true), argv.slice(2))}\n`);
    return 0;
  }
  const program = await buildProgram(host.version, act, output, namedIn(argv));
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageError(error, argv);
  }
  for (const text of help) await host.stdout.write(text);
  for (const answer of answers) await writeAnswer(answer, host);
  return answers[0]?.result.exitCode ?? 0;
}

async function writeAnswer({ result, flags }: Answer, host: CliHost): Promise<void> {
  const text = textOf(result, flags, host.stdout);
  if (text !== '') await host.stdout.write(maskSecrets(text.endsWith('\n') ? text : `${text}\n`, host.secrets));
}

function textOf(result: CommandResult, { output }: GlobalFlags, terminal: Terminal): string {
  if (output === 'json') return JSON.stringify(result.data, null, 2);
  if (output === 'junit' && result.junit !== undefined) return result.junit();
  return result.text({ color: terminal.color, columns: terminal.columns() });
}

function createContext(flags: GlobalFlags, host: CliHost, events: EventSink, sinks: Set<EventSink>): CommandContext {
  const run: RunContext = { events, clock: systemClock, signal: host.signal };
  let loading: ReturnType<typeof loadConfig> | undefined;
  const config = (): ReturnType<typeof loadConfig> => (loading ??= loadConfig(host.cwd, flags.config));
  const settings = { offline: flags.offline ?? false, setup: flags.setup ?? false, secrets: host.secrets, sinks, config };
  return { run, services: host.createServices(settings, run), config, cwd: host.cwd, version: host.version };
}
