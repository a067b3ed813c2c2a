import { expect, it } from 'vitest';

import { holdPort } from '../../host/free-port.ts';
import { HERE, waysByNetwork, waysBySsh } from './host-ways.ts';
import type { Forwards } from './node-host.ts';

const NEVER = new AbortController().signal;
const spec = { cluster: 'lab', run: 'a', image: `sha256:${'0'.repeat(64)}` } as const;
const targets = [{ address: '10.89.1.11', port: 6443 }];

/** What an engine publishes at a port, and what was asked of it. */
function publishing(port: number) {
  const did: string[] = [];
  const note = (what: string) => () => Promise.resolve(void did.push(what));
  const published: Forwards = {
    balance: () => Promise.resolve({ ipv4: '10.89.1.10' }),
    reach: () => Promise.reject(new Error('not from there')),
    forward: () => Promise.resolve({ host: 'there', port }),
    rest: note('rest'),
    remove: note('remove'),
  };
  return { published, did, note };
}

it('what an engine of this host publishes is at its loopback', () => {
  const { published } = publishing(24001);
  expect(HERE.publishAt).toBe('127.0.0.1');
  expect(HERE.lead(published, spec)).toBe(published);
});

it('over ssh a port of this host leads to what is published there, whichever port that is, and goes first', async () => {
  const { published, did } = publishing(24001);
  const engine = { transport: 'ssh', destination: 'core@lab', socket: '/run/docker.sock' } as const;
  const asked: unknown[] = [];
  const ways = waysBySsh(
    {
      ensure: (...of) => {
        asked.push(of.slice(0, 4));
        return Promise.resolve(24002);
      },
      end: (cluster, run) => Promise.resolve(void did.push(`end ${cluster} ${run ?? ''}`)),
    },
    engine,
  );
  expect(ways.publishAt).toBe('127.0.0.1');
  const forwards = ways.lead(published, spec);
  expect(await forwards.forward('api', targets, NEVER, 24002)).toEqual({ host: '127.0.0.1', port: 24002 });
  expect(asked).toEqual([[spec, engine, 24001, 24002]]);
  await forwards.rest();
  await forwards.remove();
  expect(did).toEqual(['end lab a', 'rest', 'end lab a', 'remove']);
});

it('over TCP it is called as the engine is, published at its address', async () => {
  await using held = await holdPort();
  const ways = waysByNetwork('localhost', '127.0.0.1');
  expect(ways.publishAt).toBe('127.0.0.1');
  const forwards = ways.lead(publishing(held.port).published, spec);
  expect(await forwards.forward('api', targets, NEVER)).toEqual({ host: 'localhost', port: held.port });
});

it('over TCP nobody need answer yet', async () => {
  const held = await holdPort();
  await held[Symbol.asyncDispose]();
  const forwards = waysByNetwork('127.0.0.1', '127.0.0.1').lead(publishing(held.port).published, spec);
  expect(await forwards.forward('api', targets, NEVER)).toEqual({ host: '127.0.0.1', port: held.port });
});

it('over TCP a port that is not reached is told, with what to do', async () => {
  const forwards = waysByNetwork('no-such-host.invalid', '192.0.2.1').lead(publishing(24001).published, spec);
  await expect(forwards.forward('api', targets, NEVER)).rejects.toMatchObject({
    code: 'api-out-of-reach',
    exitCode: 3,
    message: expect.stringContaining('port 24001 of no-such-host.invalid') as string,
    hint: expect.stringContaining('ssh://') as string,
  });
});
