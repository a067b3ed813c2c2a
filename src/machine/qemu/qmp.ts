import { addAbortListener } from 'node:events';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { z } from 'zod';

import { cancelled, KvciError } from '../../core/errors.ts';

/** What QEMU says by itself: `SHUTDOWN`, `STOP`, `RESET`, `GUEST_PANICKED`... */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A connection to QEMU's monitor (docs/interop/qmp-spec.rst of QEMU). */
export interface QmpClient extends Disposable {
  /** Runs a command and answers what it returns. @throws KvciError `qmp-refused`, `qmp-lost` */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Resolves when QEMU has ended, or we have hung up. */
  readonly closed: Promise<void>;
}

const messageSchema = z.union([
  z.object({ QMP: z.object({}) }).transform(() => ({ kind: 'greeting' }) as const),
  z
    .object({ event: z.string(), data: z.record(z.string(), z.unknown()).optional() })
    .transform(({ event, data }) => ({ kind: 'event', event: { event, data: data ?? {} } }) as const),
  z.object({ return: z.unknown(), id: z.int() }).transform(({ return: value, id }) => ({ kind: 'return', value, id }) as const),
  z
    .object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.int() })
    .transform(({ error, id }) => ({ kind: 'error', error, id }) as const),
]);

interface Waiting {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Speaks QMP over a connection that is open. Events that come before this answers are told, too.
 *
 * QEMU serves one connection at a time: another one waits for its greeting for as long.
 *
 * @param signal ends the connection: what is asked then, the greeting too, is `cancelled`
 * @throws KvciError `qmp-lost` when QEMU hangs up before it greets
 */
export async function openQmp(stream: Duplex, onEvent: (event: QmpEvent) => void, signal?: AbortSignal): Promise<QmpClient> {
  const lost = (command: string): KvciError =>
    signal?.aborted === true ? cancelled(signal) : new KvciError('failed', 'qmp-lost', `QEMU ended before it answered "${command}"`);
  const waiting = new Map<number, Waiting>();
  let next = 1;
  let open = true;
  const closed = new Promise<void>((resolve) => {
    stream.once('close', () => {
      open = false;
      for (const { command, reject } of waiting.values()) reject(lost(command));
      waiting.clear();
      resolve();
    });
  });
  // What went wrong shows in the commands that wait.
  stream.on('error', () => undefined);
  stream.once('end', () => stream.destroy());
  if (signal !== undefined) {
    const leaving = addAbortListener(signal, () => stream.destroy());
    stream.once('close', () => {
      leaving[Symbol.dispose]();
    });
  }

  const greeted = new Promise<void>((resolve, reject) => {
    createInterface({ input: stream }).on('line', (line) => {
      const message = parseMessage(line);
      if (message === undefined) return;
      if (message.kind === 'greeting') resolve();
      else if (message.kind === 'event') onEvent(message.event);
      else settle(waiting, message);
    });
    void closed.then(() => {
      reject(lost('greeting'));
    });
  });

  const execute: QmpClient['execute'] = (command, args) =>
    new Promise((resolve, reject) => {
      if (!open) {
        reject(lost(command));
        return;
      }
      const id = next++;
      waiting.set(id, { command, resolve, reject });
      stream.write(`${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }), id })}\n`);
    });

  await greeted;
  await execute('qmp_capabilities');
  return { execute, closed, [Symbol.dispose]: () => void stream.destroy() };
}

type Answer = Extract<z.infer<typeof messageSchema>, { readonly id: number }>;

function settle(waiting: Map<number, Waiting>, answer: Answer): void {
  const asked = waiting.get(answer.id);
  if (asked === undefined) return;
  waiting.delete(answer.id);
  if (answer.kind === 'return') asked.resolve(answer.value);
  else {
    const { class: kind, desc } = answer.error;
    asked.reject(new KvciError('failed', 'qmp-refused', `QEMU refuses "${asked.command}": ${desc}`, { facts: { class: kind } }));
  }
}

/** What another version says that we do not know is nothing we wait for. */
function parseMessage(line: string): z.infer<typeof messageSchema> | undefined {
  try {
    return messageSchema.parse(JSON.parse(line));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}
