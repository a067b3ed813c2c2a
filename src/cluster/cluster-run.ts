import { cancelled, KvciError, messageOf, throwIfCancelled } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { ClusterState, ClusterStates, NodeState } from './state.ts';

/** What a step may do beside its work. */
export interface StepOutput {
  /** A line of what it runs. */
  line(text: string): void;
}

interface Kept {
  state: ClusterState;
  readonly states: ClusterStates;
  /** The last write: the next waits for it. */
  saved: Promise<void>;
}

/**
 * A workflow on one cluster: keeps its state on disk ahead of what is made, and its steps with their times.
 *
 * Steps of several nodes run at once; the state is written in the order of changes.
 */
export class ClusterRun {
  #kept: Kept;
  readonly context: RunContext;

  constructor(state: ClusterState, states: ClusterStates, context: RunContext) {
    this.#kept = { state, states, saved: Promise.resolve() };
    this.context = context;
  }

  /** The same run with a nearer end. */
  within(signal: AbortSignal): ClusterRun {
    const { state, states } = this.#kept;
    const nearer = new ClusterRun(state, states, { ...this.context, signal });
    nearer.#kept = this.#kept;
    return nearer;
  }

  get state(): ClusterState {
    return this.#kept.state;
  }

  /** Changes the state and answers when that is on disk. */
  async update(change: { readonly [K in keyof ClusterState]?: ClusterState[K] | undefined }): Promise<void> {
    const kept = this.#kept;
    kept.state = { ...kept.state, ...change } as ClusterState;
    const { state, states } = kept;
    kept.saved = kept.saved.catch(() => undefined).then(() => states.save(state));
    await kept.saved;
  }

  async updateNode(name: string, change: Partial<NodeState>): Promise<void> {
    await this.update({ nodes: this.#kept.state.nodes.map((node) => (node.name === name ? { ...node, ...change } : node)) });
  }

  /**
   * Runs a step: its start is on disk before it does anything, its end with the time it took. A failure says which step, on which
   * node, and how to enter the node.
   */
  async step<T>(id: string, title: string, node: string | undefined, work: (output: StepOutput) => Promise<T>): Promise<T> {
    const { events, clock, signal } = this.context;
    throwIfCancelled(signal);
    const key = node === undefined ? id : `${id} ${node}`;
    const started = clock.monotonic();
    const record = { id, title, ...(node === undefined ? {} : { node }), startedAt: new Date(clock.now()).toISOString() };
    const at = this.#kept.state.steps.length;
    await this.update({ steps: [...this.#kept.state.steps, { ...record, status: 'running' }] });
    events({ type: 'step.start', step: key, title: node === undefined ? title : `${title} (${node})` });
    const end = async (status: 'done' | 'failed' | 'cancelled'): Promise<void> => {
      const ms = Math.round(clock.monotonic() - started);
      events({ type: 'step.end', step: key, status, ms });
      await this.update({ steps: this.#kept.state.steps.with(at, { ...record, status, ms }) });
    };
    try {
      const result = await work({
        line: (line) => {
          events({ type: 'step.output', step: key, line });
        },
      });
      await end('done');
      return result;
    } catch (error) {
      // What was late says more of itself than the deadline knows.
      const late = error instanceof KvciError && error.reason === 'timedOut';
      const stopped = signal.aborted && !late;
      await end(stopped ? 'cancelled' : 'failed');
      throw stopped ? cancelled(signal) : this.#explained(error, title, node);
    }
  }

  #explained(error: unknown, title: string, node: string | undefined): unknown {
    if (!(error instanceof KvciError) || error.reason === 'bug') return error;
    const enter = node === undefined || error.code === 'node-died' ? undefined : `kvci ssh ${node} --cluster ${this.#kept.state.name}`;
    const hint = [error.hint, enter === undefined ? undefined : `"${enter}" enters the node.`].filter(Boolean).join(' ');
    return new KvciError(error.reason, error.code, `${title}${node === undefined ? '' : ` on ${node}`} failed: ${messageOf(error)}`, {
      ...(hint === '' ? {} : { hint }),
      facts: { ...error.facts, step: title, ...(node === undefined ? {} : { node }) },
      cause: error,
    });
  }
}
