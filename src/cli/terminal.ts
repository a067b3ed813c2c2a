import type { WriteStream } from 'node:tty';

/** One of the process's output streams, as the command line sees it. */
export interface Terminal {
  readonly isTty: boolean;
  readonly color: boolean;
  columns(): number;
  /** Resolves when the system has taken the text or has refused it; `main.ts` hears of refusals as the stream's owner. */
  write(text: string): Promise<void>;
}

const DEFAULT_COLUMNS = 100;

/** https://no-color.org: any non-empty NO_COLOR turns colours off; a dumb terminal has neither colours nor a cursor to move. */
export function terminalOf(stream: NodeJS.WriteStream | WriteStream, environment: Readonly<Record<string, string | undefined>>): Terminal {
  const isTty = stream.isTTY && environment['TERM'] !== 'dumb';
  return {
    isTty,
    color: isTty && (environment['NO_COLOR'] ?? '') === '',
    columns: () => stream.columns || DEFAULT_COLUMNS,
    write: (text) =>
      new Promise((resolve) => {
        stream.write(text, () => {
          resolve();
        });
      }),
  };
}
