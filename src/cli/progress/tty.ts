import { stripVTControlCharacters } from 'node:util';

import type { Clock } from '../../core/clock.ts';
import type { Event } from '../../core/events.ts';
import type { Progress } from './create.ts';
import { commandLine, endMark, formatAmount, formatDuration, type Paint, painter, planLine, problemLines } from './format.ts';

export interface TtyOptions {
  readonly verbose: boolean;
  readonly color: boolean;
  columns(): number;
  readonly clock: Clock;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;

interface RunningStep {
  readonly title: string;
  readonly started: number;
  amount: string;
  lastLine: string;
}

/** Lines that stay, and below them one live line for each running step, redrawn in place. */
export function ttySink(write: (text: string) => void, options: TtyOptions): Progress {
  const paint = painter(options.color);
  const running = new Map<string, RunningStep>();
  let drawn = 0;
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;

  const draw = (staying: readonly string[]): void => {
    const live = [...running.values()].map((step) => liveLine(step, frame, options, paint));
    const erase = drawn === 0 ? '' : `\r\u001B[${drawn}A\u001B[J`;
    write(`${erase}${[...staying, ...live].map((line) => `${line}\n`).join('')}`);
    drawn = live.length;
  };
  const close = (): void => {
    clearInterval(timer);
    timer = undefined;
    if (drawn > 0) {
      running.clear();
      draw([]);
    }
  };
  return {
    sink: (event) => {
      const staying = applyEvent(event, running, options, paint);
      if (staying.length > 0 || event.type === 'step.start') draw(staying);
      if (running.size > 0 && timer === undefined) {
        timer = setInterval(() => {
          frame += 1;
          draw([]);
        }, FRAME_MS);
        timer.unref();
      }
      if (running.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
    },
    close,
  };
}

/** Takes an event in, and answers the lines that stay because of it. */
function applyEvent(event: Event, running: Map<string, RunningStep>, options: TtyOptions, paint: Paint): readonly string[] {
  switch (event.type) {
    case 'plan':
      return event.steps.map(planLine);
    case 'step.start':
      running.set(event.step, { title: event.title, started: options.clock.monotonic(), amount: '', lastLine: '' });
      return [];
    case 'step.progress': {
      const step = running.get(event.step);
      if (step !== undefined) step.amount = [formatAmount(event), event.message].filter(Boolean).join(' ');
      return [];
    }
    case 'step.output': {
      const step = running.get(event.step);
      if (step !== undefined) step.lastLine = event.line;
      return options.verbose ? [paint('dim', `  ${event.line}`)] : [];
    }
    case 'step.end': {
      const title = running.get(event.step)?.title ?? event.step;
      running.delete(event.step);
      return [`${endMark(event.status, paint)} ${title} ${paint('dim', event.status === 'reused' ? 'reused' : formatDuration(event.ms))}`];
    }
    case 'command':
      return options.verbose ? [paint('dim', commandLine(event))] : [];
    case 'span':
      return [];
    case 'problem':
      return problemLines(event, paint);
  }
}

function liveLine(step: RunningStep, frame: number, options: TtyOptions, paint: Paint): string {
  const head = [FRAMES[frame % FRAMES.length], step.title, step.amount, formatDuration(options.clock.monotonic() - step.started)]
    .filter(Boolean)
    .join(' ');
  const room = options.columns() - 1;
  if (head.length >= room) return head.slice(0, room);
  const tail = stripVTControlCharacters(step.lastLine).replaceAll(/\s+/g, ' ').trim();
  const shown = tail === '' ? '' : `  ${tail}`.slice(0, room - head.length);
  return shown === '' ? head : `${head}${paint('dim', shown)}`;
}
