import type { CommandRunner } from '../host/types.ts';

/** Writes a file that is its owner's alone; its content shows in no list of processes and in no output. */
export async function putFile(sandbox: CommandRunner, path: string, content: string, signal: AbortSignal): Promise<void> {
  await sandbox.run(['sh', '-c', 'umask 077 && cat >"$1"', 'sh', path], { stdin: content, signal });
}
