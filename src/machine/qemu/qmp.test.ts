import { createInterface } from 'node:readline';
import { duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';

import { openQmp, type QmpEvent } from './qmp.ts';

interface Request {
  readonly execute: string;
  readonly arguments?: unknown;
  readonly id: number;
}

const GREETING = '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}';

/** The other end: answers each request with the lines that `answer` gives. */
function qemu(answer: (request: Request) => readonly unknown[], greeting: readonly string[] = [GREETING]) {
  const [stream, other] = duplexPair();
  createInterface({ input: other }).on('line', (line) => {
    for (const message of answer(JSON.parse(line) as Request)) other.write(`${JSON.stringify(message)}\r\n`);
  });
  for (const line of greeting) other.write(`${line}\r\n`);
  return { stream, hangUp: () => other.destroy() };
}

describe('QMP', () => {
  it('answers what commands return, whatever is said in between', async () => {
    const events: QmpEvent[] = [];
    const { stream } = qemu(({ execute, id, arguments: args }) => [
      { event: 'STOP', timestamp: { seconds: 1, microseconds: 2 } },
      { unknown: true },
      execute === 'query-status' ? { return: { status: 'running', args }, id } : { return: {}, id },
    ]);
    using client = await openQmp(stream, (event) => events.push(event));
    expect(await client.execute('query-status', { a: 1 })).toEqual({ status: 'running', args: { a: 1 } });
    expect(events).toEqual([
      { event: 'STOP', data: {} },
      { event: 'STOP', data: {} },
    ]);
  });

  it('tells why a command is refused', async () => {
    const { stream } = qemu(({ execute, id }) => [
      execute === 'qmp_capabilities'
        ? { return: {}, id }
        : { error: { class: 'CommandNotFound', desc: 'The command x has not been found' }, id },
    ]);
    using client = await openQmp(stream, () => undefined);
    await expect(client.execute('x')).rejects.toMatchObject({
      code: 'qmp-refused',
      message: 'QEMU refuses "x": The command x has not been found',
      facts: { class: 'CommandNotFound' },
    });
  });

  it('loses what was asked when QEMU ends', async () => {
    const { stream, hangUp } = qemu(({ execute, id }) => (execute === 'qmp_capabilities' ? [{ return: {}, id }] : []));
    const client = await openQmp(stream, () => undefined);
    const asked = client.execute('quit');
    hangUp();
    await expect(asked).rejects.toMatchObject({ code: 'qmp-lost' });
    await client.closed;
    await expect(client.execute('quit')).rejects.toMatchObject({ code: 'qmp-lost' });
  });

  it('lets whoever waits give up, with what they asked', async () => {
    const giveUp = new AbortController();
    const { stream } = qemu(({ execute, id }) => (execute === 'qmp_capabilities' ? [{ return: {}, id }] : []));
    const client = await openQmp(stream, () => undefined, giveUp.signal);
    const asked = client.execute('query-status');
    giveUp.abort();
    await expect(asked).rejects.toMatchObject({ code: 'cancelled' });
    const served = qemu(() => [], []).stream;
    await expect(openQmp(served, () => undefined, giveUp.signal)).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('says when nobody greets', async () => {
    const { stream, hangUp } = qemu(() => [], []);
    hangUp();
    await expect(openQmp(stream, () => undefined)).rejects.toMatchObject({ code: 'qmp-lost' });
  });
});
