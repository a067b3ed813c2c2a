import type { EventSink } from '../../core/events.ts';
import { commandLine, formatDuration, painter, planLine, problemLines } from './format.ts';

/** Whole lines and no cursor movement: for logs. Output of steps and commands only when `verbose`. */
export function plainSink(write: (text: string) => void, options: { readonly verbose: boolean; readonly color: boolean }): EventSink {
  const paint = painter(options.color);
  const titles = new Map<string, string>();
  const line = (text: string): void => {
    write(`${text}\n`);
  };
  return (event) => {
    switch (event.type) {
      case 'plan':
        for (const step of event.steps) line(planLine(step));
        break;
      case 'step.start':
        titles.set(event.step, event.title);
        line(`${paint('bold', '==>')} ${event.title}`);
        break;
      case 'step.progress':
      case 'span':
        break;
      case 'step.output':
        if (options.verbose) line(`    ${event.line}`);
        break;
      case 'step.end':
        line(`${paint('bold', '<==')} ${titles.get(event.step) ?? event.step}: ${event.status} (${formatDuration(event.ms)})`);
        break;
      case 'command':
        if (options.verbose) line(commandLine(event));
        break;
      case 'problem':
        for (const text of problemLines(event, paint)) line(text);
        break;
    }
  };
}
