import { KvciError } from '../core/errors.ts';
import { CommandError } from '../host/command-error.ts';
import type { CommandOptions, CommandResult, CommandRunner } from '../host/types.ts';
import { enterCgroupArgv } from './cgroup.ts';
import type { NamespacesRecord } from './types.ts';

/** The environment variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of the host that mean the same inside; all others would name folders and sessions that are not there. */
const KEPT_VARIABLES = /^(https?|no|all|ftp)_proxy$/i;

const INSIDE: Environment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  USER: 'root',
  LANG: 'C.UTF-8',
};

/** Runs a command in the namespaces of a process, as root of them. No shell in between, no words of ours in its arguments. */
export function nsenterArgv(
  record: Pick<NamespacesRecord, 'pid' | 'network' | 'cgroup'>,
  argv: readonly [string, ...string[]],
  cwd: string | undefined,
): [string, ...string[]] {
  const entering: [string, ...string[]] = [
    'nsenter',
    '--target',
    String(record.pid),
    '--user',
    '--mount',
    '--pid',
    '--ipc',
    '--uts',
    '--cgroup',
    ...(record.network === 'private' ? ['--net'] : []),
    '--',
    // nsenter's own --wdns came with util-linux 2.38.
    ...(cwd === undefined ? [] : ['env', `--chdir=${cwd}`]),
    ...argv,
  ];
  return record.cgroup === undefined ? entering : enterCgroupArgv(record.cgroup, entering);
}

/** What a command inside sees: nothing of the host's environment but its proxies. */
export function environmentInside(host: Environment, added: Environment = {}): Environment {
  const seen: Environment = Object.fromEntries(
    Object.entries(host).map(([name, value]) => [name, KEPT_VARIABLES.test(name) ? value : undefined] as const),
  );
  return { ...seen, ...INSIDE, ...added };
}

/** A command runner for a sandbox, over the host's. `gone` answers why nothing can be run any more. */
export function enter(
  record: NamespacesRecord,
  commands: CommandRunner,
  hostEnvironment: Environment,
  gone: () => Promise<KvciError | undefined>,
): CommandRunner {
  const where = `sandbox ${record.name}`;
  return {
    where,
    run: async (argv, { cwd, env, ...options }: CommandOptions = {}): Promise<CommandResult> => {
      const reason = await gone();
      if (reason !== undefined) throw reason;
      try {
        const result = await commands.run(nsenterArgv(record, argv, cwd), {
          ...options,
          env: environmentInside(hostEnvironment, env),
        });
        return { ...result, argv };
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        throw missingProgram(error, argv[0], where) ?? (await gone()) ?? new CommandError(where, { ...error.result, argv });
      }
    },
  };
}

/** The error of a program that is not there, by what the program in between says of it. */
export function missingProgram(error: CommandError, program: string, where: string): KvciError | undefined {
  const { exitCode, stderr } = error.result;
  if (exitCode !== 127 || !/^((nsenter|setpriv): failed to execute|env:) .*No such file/m.test(stderr)) return undefined;
  return new KvciError('failed', 'command-missing', `${program} is not in the ${where}`, { cause: error });
}
