import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';

import { freePort, holdPort } from '../host/free-port.ts';
import type { NodeHandle } from '../machine/types.ts';
import { farEndArgv, forwardTo, parseForward } from './local-forward.ts';

describe('a forward as it is written', () => {
  it.each([
    ['8080:localhost:80', { from: { host: '127.0.0.1', port: 8080 }, to: { host: 'localhost', port: 80 } }],
    ['0.0.0.0:8080:10.0.0.1:80', { from: { host: '0.0.0.0', port: 8080 }, to: { host: '10.0.0.1', port: 80 } }],
    ['[::1]:8080:[fd00::101]:443', { from: { host: '::1', port: 8080 }, to: { host: 'fd00::101', port: 443 } }],
  ])('%s', (written, forward) => {
    expect(parseForward(written)).toEqual(forward);
  });

  it.each(['', '80', '80:host', '0:host:80', '80:host:65536', 'x:host:80', '80:fd00::1:80', ':80:host:80', '1:2:3:4:5'])(
    'not %j',
    (written) => {
      expect(() => parseForward(written)).toThrow(expect.objectContaining({ code: 'bad-forward', exitCode: 2 }) as Error);
    },
  );

  it('its far end is a command on the node', () => {
    expect(farEndArgv({ host: 'fd00::101', port: 443 })).toEqual(['socat', '-t', '5', '-', 'TCP:[fd00::101]:443']);
  });
});

/** Connects as the far end of a node would: to a port of this host. */
const node: Pick<NodeHandle, 'name' | 'attach'> = {
  name: 'node01',
  attach: async ([, , , , target = ''], { stdin, stdout, stderr, signal }) => {
    const far = createConnection(Number(target.split(':').at(-1)), '127.0.0.1');
    try {
      await once(far, 'connect');
    } catch {
      stderr.write('refused\n');
      return 1;
    }
    stdin?.pipe(far);
    far.pipe(stdout, { end: false });
    try {
      await once(far, 'end', signal === undefined ? {} : { signal });
    } finally {
      far.destroy();
    }
    return 0;
  },
};

async function shouting(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void text(socket).then((words) => socket.end(words.toUpperCase()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function ask(port: number, words: string): Promise<string> {
  const socket = createConnection(port, '127.0.0.1');
  socket.end(words);
  return text(socket);
}

describe('connections', () => {
  it('lead on both ways, many at once and each to its end', async () => {
    const [from, to] = [await freePort(), await shouting()];
    await using _forward = await forwardTo(node, { from: { host: '127.0.0.1', port: from }, to: { host: 'x', port: to } }, () => undefined);
    expect(await Promise.all(['one', 'two', 'three'].map((words) => ask(from, words)))).toEqual(['ONE', 'TWO', 'THREE']);
  });

  it('end, and it is said, where nobody answers there', async () => {
    const [from, to] = [await freePort(), await freePort()];
    const said: string[] = [];
    const forward = { from: { host: '127.0.0.1', port: from }, to: { host: 'x', port: to } };
    await using _forward = await forwardTo(node, forward, (event) => event.type === 'problem' && said.push(event.message));
    await ask(from, 'one').catch(() => undefined);
    expect(said).toEqual([`127.0.0.1:${from} leads to x:${to} as node01 sees it`, `node01: a connection to x:${to} ended: refused`]);
  });

  it('go with it, and the port is free again', async () => {
    const [from, to] = [await freePort(), await shouting()];
    const forward = await forwardTo(node, { from: { host: '127.0.0.1', port: from }, to: { host: 'x', port: to } }, () => undefined);
    const socket = createConnection(from, '127.0.0.1');
    await once(socket, 'connect');
    const ended = once(socket, 'close');
    socket.on('error', () => undefined);
    await forward[Symbol.asyncDispose]();
    await ended;
    await using held = await holdPort(from);
    expect(held.port).toBe(from);
    const again = { from: { host: '127.0.0.1', port: from }, to: { host: 'x', port: to } };
    await expect(forwardTo(node, again, () => undefined)).rejects.toMatchObject({ code: 'port-taken', exitCode: 5 });
  });
});
