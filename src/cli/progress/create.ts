import type { Clock } from '../../core/clock.ts';
import type { EventSink } from '../../core/events.ts';
import type { Terminal } from '../terminal.ts';
import { ndjsonSink } from './ndjson.ts';
import { plainSink } from './plain.ts';
import { ttySink } from './tty.ts';

export interface Progress {
  readonly sink: EventSink;
  /** Leaves the terminal as it was found. */
  close(): void;
}

export interface ProgressFlags {
  readonly progress: 'auto' | 'tty' | 'plain' | 'json' | 'none';
  readonly verbose?: true;
  readonly quiet?: true;
}

/** The sink for standard error that the flags ask for. `--quiet` wins over `--progress`. */
export function createProgress(flags: ProgressFlags, terminal: Terminal, clock: Clock): Progress {
  const verbose = flags.verbose ?? false;
  const kind = flags.quiet === true ? 'none' : flags.progress === 'auto' ? (terminal.isTty ? 'tty' : 'plain') : flags.progress;
  const write = (text: string): void => void terminal.write(text);
  switch (kind) {
    case 'none':
      return quiet(() => undefined);
    case 'plain':
      return quiet(plainSink(write, { verbose, color: terminal.color }));
    case 'json':
      return quiet(ndjsonSink(write));
    case 'tty':
      return ttySink(write, { verbose, color: terminal.color, columns: () => terminal.columns(), clock });
  }
}

function quiet(sink: EventSink): Progress {
  return { sink, close: () => undefined };
}
