import type { EventSink } from '../../core/events.ts';

/** One event a line, as JSON. */
export function ndjsonSink(write: (text: string) => void): EventSink {
  return (event) => {
    write(`${JSON.stringify(event)}\n`);
  };
}
