import type { Clock } from './clock.ts';
import { throwIfCancelled } from './errors.ts';
import type { EventSink, PlannedStep } from './events.ts';

/**
 * One piece of a workflow whose result is an artifact that can be found again.
 *
 * `find` is cheap and changes nothing: it answers `--dry-run`. `make` does the work and is called only when `find` found nothing.
 */
export interface Step<Result> {
  readonly id: string;
  readonly title: string;
  /** Why it has to run when `find` finds nothing; the reason shown in the plan. */
  readonly why: string;
  find(): Promise<Result | undefined>;
  make(context: StepContext): Promise<Result>;
}

export interface StepContext {
  readonly signal: AbortSignal;
  readonly output: (line: string) => void;
  readonly progress: (done: number, total: number | undefined, unit: 'bytes' | 'items', message?: string) => void;
}

/** What every workflow is run with. */
export interface RunContext {
  readonly events: EventSink;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Whether a step would run or be reused; changes nothing. */
export async function planStep(step: Step<unknown>): Promise<PlannedStep> {
  const { id, title } = step;
  return (await step.find()) === undefined
    ? { id, title, action: 'run', reason: step.why }
    : { id, title, action: 'reuse', reason: 'same inputs' };
}

/** Finds a step's result or makes it, with its events around it. */
export async function runStep<Result>(step: Step<Result>, run: RunContext): Promise<Result> {
  throwIfCancelled(run.signal);
  const started = run.clock.monotonic();
  const end = (status: 'done' | 'reused' | 'failed' | 'cancelled'): void => {
    run.events({ type: 'step.end', step: step.id, status, ms: Math.round(run.clock.monotonic() - started) });
  };
  run.events({ type: 'step.start', step: step.id, title: step.title });
  try {
    const found = await step.find();
    const result =
      found ??
      (await step.make({
        signal: run.signal,
        output: (line) => {
          run.events({ type: 'step.output', step: step.id, line });
        },
        progress: (done, total, unit, message) => {
          run.events({
            type: 'step.progress',
            step: step.id,
            done,
            unit,
            ...(total === undefined ? {} : { total }),
            ...(message === undefined ? {} : { message }),
          });
        },
      }));
    end(found === undefined ? 'done' : 'reused');
    return result;
  } catch (error) {
    end(run.signal.aborted ? 'cancelled' : 'failed');
    throw error;
  }
}
