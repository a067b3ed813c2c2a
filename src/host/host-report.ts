import { KvciError, messageOf, ProblemsError } from '../core/errors.ts';
import { shellLine } from '../core/shell.ts';
import { type Argv, fixCommands, type PackageManager } from './package-manager.ts';
import type { CommandRunner, HostCheck, HostProblem } from './types.ts';

/** One check after it ran: a line of `kvci doctor`. */
export interface CheckResult {
  readonly id: string;
  readonly title: string;
  readonly status: 'ok' | 'warning' | 'error';
  /** What is wrong, or what was found where all is well. */
  readonly message?: string;
  /** What root runs to mend it; none where that takes more than commands. */
  readonly commands: readonly Argv[];
  readonly problem?: HostProblem;
}

/** Runs all checks at once and gathers everything that is wrong; a check of an id that was there before is left out. */
export async function runChecks(checks: readonly HostCheck[], manager: PackageManager | undefined): Promise<readonly CheckResult[]> {
  const once = checks.filter((check, index) => checks.findIndex(({ id }) => id === check.id) === index);
  return Promise.all(once.map((check) => runCheck(check, manager)));
}

async function runCheck(check: HostCheck, manager: PackageManager | undefined): Promise<CheckResult> {
  const { id, title } = check;
  const problem = await problemOf(check);
  if (problem === undefined) {
    const found = await check.found?.();
    return { id, title, status: 'ok', commands: [], ...(found === undefined ? {} : { message: found }) };
  }
  const packages = problem.packages === undefined || manager !== undefined ? [] : problem.packages.apt;
  const message =
    packages.length === 0 ? problem.message : `${problem.message} (packages ${packages.join(', ')} or what they are called here)`;
  return { id, title, status: problem.level, message, commands: fixCommands([problem], manager), problem };
}

/** A check that cannot find out is itself a problem, not the end of all others. */
async function problemOf(check: HostCheck): Promise<HostProblem | undefined> {
  try {
    return await check.run();
  } catch (error) {
    const message = `cannot check ${check.title}: ${messageOf(error)}`;
    return { level: 'error', message, ...(error instanceof KvciError ? { error } : {}) };
  }
}

/**
 * What a command that cannot work on this host throws: all errors among the results, each with what mends it. Undefined when
 * there are only warnings.
 */
export function notReady(results: readonly CheckResult[]): KvciError | undefined {
  const errors = results
    .filter(({ status }) => status === 'error')
    .map(
      ({ id, title, message = title, commands }) =>
        new KvciError('hostNotReady', 'host-problem', message, {
          ...(commands.length === 0 ? {} : { hint: `Run as root:\n${shellLines(commands)}` }),
          facts: { check: id, commands },
        }),
    );
  const [first, ...rest] = errors;
  if (first === undefined) return undefined;
  return new ProblemsError('host-not-ready', 'this host lacks what the command needs', [first, ...rest], {
    hint: 'Run "kvci doctor" to see everything, "kvci doctor --fix" as root to mend it.',
  });
}

export interface FixRun {
  readonly commands: CommandRunner;
  /** Effective user id: only root (0) can mend a host. */
  readonly uid: number;
  readonly signal?: AbortSignal;
  /** Called with each command before it runs. */
  readonly onCommand: (line: string) => void;
  readonly onLine?: (line: string) => void;
}

/**
 * Mends a host: shows all commands, then runs them one after another.
 *
 * @throws KvciError `needs-root` with the commands for an ordinary user; what the commands throw
 */
export async function applyFixes(fixes: readonly Argv[], run: FixRun): Promise<readonly string[]> {
  if (fixes.length > 0 && run.uid !== 0) {
    throw new KvciError('hostNotReady', 'needs-root', 'only root can install what this host lacks', {
      hint: `Have root run once:\n${shellLines(fixes)}`,
      facts: { commands: fixes },
    });
  }
  for (const argv of fixes) run.onCommand(shellLine(argv));
  for (const argv of fixes) {
    await run.commands.run(argv, {
      ...(run.signal === undefined ? {} : { signal: run.signal }),
      ...(run.onLine === undefined ? {} : { onLine: run.onLine }),
    });
  }
  return fixes.map(shellLine);
}

function shellLines(commands: readonly Argv[]): string {
  return commands.map((argv) => `  ${shellLine(argv)}`).join('\n');
}
