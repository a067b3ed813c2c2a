import { allOf } from '../core/all-of.ts';
import { KvciError } from '../core/errors.ts';
import { compareNames } from '../core/names.ts';
import type { Machines, NodeHandle } from './types.ts';

/** At the end of lines of /etc/hosts that are ours. */
const MARK = '# kvci';

/** Puts lines in the place of those that are ours; in the file as it is, which an engine mounts into its containers. */
const REPLACE = `{ grep -v '${MARK}$' /etc/hosts; cat; } >/run/kvci-hosts && cat /run/kvci-hosts >/etc/hosts && rm /run/kvci-hosts`;

/** Takes the lines of one that is gone out. */
const TAKE_OUT = `grep -v " $1 ${MARK}\$" /etc/hosts >/run/kvci-hosts; cat /run/kvci-hosts >/etc/hosts && rm /run/kvci-hosts`;

type Named = Pick<NodeHandle, 'name' | 'addresses'>;

/** Lines of hosts(5), one an address. */
export function hostsLines(nodes: readonly Named[]): string {
  return nodes
    .toSorted((a, b) => compareNames(a.name, b.name))
    .flatMap(({ name, addresses: { ipv4, ipv6 } }) => [ipv4, ipv6].map((address) => [address, name] as const))
    .flatMap(([address, name]) => (address === undefined ? [] : [`${address} ${name} ${MARK}\n`]))
    .join('');
}

/** Machines that know each other by name, as {@link NodeNames} has it. */
export function knownByName(machines: Machines): Machines {
  const names = new NodeNames();
  return {
    ...machines,
    start: async (machine, signal) => {
      const handle = await machines.start(machine, signal);
      await names.add(handle, signal);
      return handle;
    },
    remove: async (name) => {
      names.forget(name);
      await machines.remove(name);
      const others = (await machines.list()).filter((other) => other.state === 'running');
      await names.gone(
        name,
        others.map((other) => () => machines.node(other.name)),
      );
    },
  };
}

/**
 * Names of nodes where no server answers for all of them. An engine's knows its own containers, and nothing of machines beside them; and
 * systemd-resolved asks no server for a name of one word (resolved.conf(5), ResolveUnicastSingleLabel). Every node has all in its
 * /etc/hosts. Whoever brings a cluster up starts each of its nodes, or finds it running.
 */
export class NodeNames {
  readonly #started = new Map<string, NodeHandle>();
  #last: Promise<unknown> = Promise.resolve();

  /** Tells all nodes that were started of one that has just been, and it of them. */
  async add(node: NodeHandle, signal: AbortSignal): Promise<void> {
    await this.#inOrder(() => {
      this.#started.set(node.name, node);
      return this.#tell(node, signal);
    });
  }

  /** Of one that is removed. */
  forget(name: string): void {
    this.#started.delete(name);
  }

  /** Tells those that run of one that is gone; who cannot be told has died, and is told what there is when it starts. */
  async gone(name: string, others: readonly (() => Promise<NodeHandle>)[]): Promise<void> {
    await this.#inOrder(() =>
      allOf(
        others.map(async (find) => {
          try {
            await (await find()).run(['sh', '-c', TAKE_OUT, 'sh', name]);
          } catch (error) {
            if (!(error instanceof KvciError)) throw error;
          }
        }),
      ),
    );
  }

  /** One after the other: each writes all there are. */
  async #inOrder(tell: () => Promise<unknown>): Promise<void> {
    const telling = this.#last.then(tell);
    this.#last = telling.catch(() => undefined);
    await telling;
  }

  async #tell(started: NodeHandle, signal: AbortSignal): Promise<void> {
    const nodes = [...this.#started.values()];
    const stdin = hostsLines(nodes);
    await allOf(
      nodes.map(async (node) => {
        try {
          await node.run(['sh', '-c', REPLACE], { stdin, signal });
        } catch (error) {
          // Another one that has died is told again when it starts.
          if (signal.aborted || !(error instanceof KvciError) || node === started) throw error;
        }
      }),
    );
  }
}
