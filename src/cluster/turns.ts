import { cancelled } from '../core/errors.ts';
import type { Schedule } from '../machine/types.ts';
import type { NodeState } from './state.ts';

/**
 * When each node may boot: all at once, or in turn. In turn the control planes that are members come first, one after the other, for
 * without most of them the API does not serve; then, once it does, each of the others when the one before it has joined. Beside containers
 * only machines take turns, and wait for the API where one of them is to serve it.
 *
 * How nodes come up is the machines' to say, what is done on them is not: a step does not know of turns.
 */
export class Turns {
  readonly #ends = new Map<string, PromiseWithResolvers<undefined>>();
  /** Those that take turns. */
  readonly #order: readonly NodeState[];
  readonly #leaders: readonly NodeState[];
  readonly #serving = Promise.withResolvers<undefined>();
  readonly #aborted = Promise.withResolvers<never>();

  /** @param signal ends all waiting */
  constructor(schedule: Schedule, nodes: readonly NodeState[], signal: AbortSignal) {
    const leaders = leadersOf(nodes);
    this.#order = [...leaders, ...nodes.filter((node) => !leaders.includes(node))].filter((node) => takesTurns(node, schedule));
    this.#leaders = leaders;
    for (const { name } of nodes) this.#ends.set(name, Promise.withResolvers());
    const abort = (): void => {
      this.#aborted.reject(cancelled(signal));
    };
    this.#aborted.promise.catch(() => undefined);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  }

  /** Resolves when it is the node's turn to boot. @throws KvciError `cancelled` */
  async of(node: NodeState): Promise<void> {
    const before = this.#order[this.#order.indexOf(node) - 1];
    if (before === undefined) return;
    await Promise.race([this.#ends.get(before.name)?.promise, this.#aborted.promise]);
    if (this.#leaders.includes(node) || !this.#leaders.some((leader) => this.#order.includes(leader))) return;
    await Promise.race([this.#serving.promise, this.#aborted.promise]);
  }

  /** A node has booted: where it is one of those that make the API serve, the next of them may. */
  booted(node: NodeState): void {
    if (this.#leaders.includes(node)) this.joined(node);
  }

  /** A node is a member of the cluster. */
  joined({ name }: Pick<NodeState, 'name'>): void {
    this.#ends.get(name)?.resolve(undefined);
  }

  /** The API serves. */
  serves(): void {
    this.#serving.resolve(undefined);
  }
}

function takesTurns({ provider }: NodeState, schedule: Schedule): boolean {
  return schedule === 'in-turn' || (schedule === 'machines-in-turn' && provider === 'vm');
}

/** The control planes that have to run before the API serves: those that are members; of a new cluster the first. */
export function leadersOf(nodes: readonly NodeState[]): readonly NodeState[] {
  const controlPlanes = nodes.filter(({ role }) => role === 'control-plane');
  const members = controlPlanes.filter(({ joined }) => joined);
  return members.length > 0 ? members : controlPlanes.slice(0, 1);
}
