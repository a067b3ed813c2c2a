import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';

import { watchedAgent } from './watched-agent.ts';

const TIMES = { everyMs: 10, answerMs: 1_000 };

/** A server that says something and then no more. */
async function silentServer(): Promise<number> {
  const server = createServer((_request, response) => response.write('begun'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function answerOf(port: number, agent: Agent): Promise<IncomingMessage> {
  const request = get({ port, host: '127.0.0.1', agent });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  // What is asked for here is how the answer ends.
  request.on('error', () => undefined);
  response.resume();
  return response;
}

it('a connection over which nothing comes ends when nobody answers on the other side any more', async () => {
  const port = await silentServer();
  let asked = 0;
  const alive = () => ((asked += 1) < 3 ? Promise.resolve() : Promise.reject(new Error('no route')));
  const response = await answerOf(port, watchedAgent(new Agent(), alive, TIMES));
  await expect(once(response, 'end')).rejects.toMatchObject({ code: expect.stringMatching(/ETIMEDOUT|ECONNRESET/) as string });
  expect(asked).toBe(3);
});

it('nobody is asked while there are no connections', async () => {
  const port = await silentServer();
  const asking = Promise.withResolvers<undefined>();
  let asked = 0;
  const alive = () => {
    asked += 1;
    asking.resolve(undefined);
    return Promise.resolve();
  };
  const agent = watchedAgent(new Agent(), alive, TIMES);
  expect(asked).toBe(0);
  const response = await answerOf(port, agent);
  await asking.promise;
  response.destroy();
  await once(response, 'close');
  const before = asked;
  const other = await answerOf(port, agent);
  await expect.poll(() => asked).toBeGreaterThan(before);
  other.destroy();
});
