import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '../../core/clock.ts';
import { hasErrno } from '../../core/errors.ts';
import type { StepContext } from '../../core/plan.ts';
import type { DiskFormat } from '../types.ts';
import type { Dialect, Progress } from './types.ts';

const POLL_MS = 500;

/** Follows a conversion: each line of its log, and the file that it writes about its progress, until disposed. */
export function followConversion(
  dialect: Dialect,
  format: DiskFormat,
  output: string,
  { clock, context }: { readonly clock: Clock; readonly context: StepContext },
): AsyncDisposable & { readonly onLine: (line: string) => void } {
  const reader = dialect.progress(format, (name) => textOf(join(output, name)));
  const report = (progress: Progress | undefined): void => {
    if (progress !== undefined) context.progress(progress.done, progress.total, 'items', progress.message);
  };
  const end = new AbortController();
  const { file } = reader;
  const polling =
    file === undefined ? Promise.resolve() : poll(join(output, file.name), (text) => report(file.read(text)), clock, end.signal);
  return {
    onLine: (line) => {
      context.output(line);
      report(reader.line(line));
    },
    [Symbol.asyncDispose]: () => {
      end.abort();
      return polling;
    },
  };
}

/** Tells a file's text whenever it is another one, the last time when the end has come. */
async function poll(path: string, changed: (text: string) => void, clock: Clock, end: AbortSignal): Promise<void> {
  let last: string | undefined;
  for (;;) {
    const ended = end.aborted;
    const text = await readFile(path, 'utf8').catch(absent);
    if (text !== undefined && text !== last) changed((last = text));
    if (ended) return;
    // The end shows in the next round.
    await clock.wait(POLL_MS, end).catch(() => undefined);
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    absent(error);
    return;
  }
}

/** A file of root's that an ordinary user may not read tells nothing. */
function absent(error: unknown): undefined {
  if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
  throw error;
}
