import type { AttachedStreams } from '../machine/types.ts';

/** The terminal or pipes of this process, for a command elsewhere. A terminal is raw until disposed: every key is the command's. */
export function attachedStreams(): AttachedStreams & AsyncDisposable {
  const { stdin, stdout, stderr } = process;
  const isTerminal = stdin.isTTY && stdout.isTTY;
  if (isTerminal) stdin.setRawMode(true);
  return {
    stdin,
    stdout,
    stderr,
    ...(isTerminal ? { terminal: terminalOf(stdout), env: { TERM: process.env['TERM'] ?? 'xterm' } } : {}),
    [Symbol.asyncDispose]: () => {
      if (isTerminal) stdin.setRawMode(false);
      stdin.pause();
      return Promise.resolve();
    },
  };
}

function terminalOf(stdout: NodeJS.WriteStream): NonNullable<AttachedStreams['terminal']> {
  return {
    columns: stdout.columns,
    rows: stdout.rows,
    onResize: (listener) => {
      const onResize = (): void => {
        listener({ columns: stdout.columns, rows: stdout.rows });
      };
      stdout.on('resize', onResize);
      return () => {
        stdout.off('resize', onResize);
      };
    },
  };
}
