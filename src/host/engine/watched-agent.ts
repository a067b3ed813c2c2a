import type { Agent } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How often the other side is asked while connections are open, and how long it may take to answer: it may be busy. */
const EVERY_MS = 10_000;
const ANSWER_MS = 30_000;

export interface WatchTimes {
  readonly everyMs: number;
  readonly answerMs: number;
}

/**
 * Makes an agent's connections end when nobody answers on the other side any more. A network that was cut says nothing, the kernel
 * gives up what it has sent after a quarter of an hour, and a command that runs on the other side may be silent for as long as it likes.
 *
 * @param alive asks the other side by a connection that is not the agent's
 */
export function watchedAgent<T extends Agent>(
  agent: T,
  alive: (signal: AbortSignal) => Promise<unknown>,
  { everyMs, answerMs }: WatchTimes = { everyMs: EVERY_MS, answerMs: ANSWER_MS },
): T {
  const open = new Set<Socket>();
  let watching = false;
  const watch = async (): Promise<void> => {
    watching = true;
    while (open.size > 0) {
      // Nobody waits for it at the end.
      await sleep(everyMs, undefined, { ref: false });
      if (open.size === 0) break;
      await alive(AbortSignal.timeout(answerMs)).catch((cause: unknown) => {
        const error = Object.assign(new Error('nothing came back', { cause }), { code: 'ETIMEDOUT' });
        for (const socket of open) socket.destroy(error);
      });
    }
    watching = false;
  };
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const socket = create(options, callback);
    if (!(socket instanceof Socket)) return socket;
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    if (!watching) void watch();
    return socket;
  };
  return agent;
}
