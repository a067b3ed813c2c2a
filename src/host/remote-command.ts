import { KvciError } from '../core/errors.ts';
import { shellQuote } from '../core/shell.ts';
import type { ExecRequest } from './engine/containers.ts';

/** What a POSIX shell takes as the name of a variable. */
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** For a command whose name env(1) would take for a variable, or for an option of its own. */
const NAMED_STRANGELY = ['sh', '-c', `'"$0" "$@"'`] as const;

/**
 * The line that makes a login shell run exactly one command: SSH knows lines only, so every word is quoted and the shell makes
 * way for the command.
 *
 * @throws KvciError `bug` for a variable that no shell can set
 */
export function remoteCommand({ argv, env, cwd }: Pick<ExecRequest, 'argv' | 'env' | 'cwd'>): string {
  const variables = Object.entries(env).map(([name, value]) => {
    if (!VARIABLE.test(name)) throw new KvciError('bug', 'bad-variable', `no shell can set the variable "${name}"`);
    return `${name}=${shellQuote(value)}`;
  });
  return [
    ...(cwd === undefined ? [] : [`cd -- ${shellQuote(cwd)}`]),
    ...(variables.length === 0 ? [] : [`export ${variables.join(' ')}`]),
    // env(1) looks for the command in the PATH that was just set, and takes no word for an option of the shell.
    ['exec env', ...(/^-|=/.test(argv[0]) ? NAMED_STRANGELY : []), ...argv.map(shellQuote)].join(' '),
  ].join(' && ');
}
