import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { scratchFolder } from '../../test/fixtures/layouts.ts';
import type { RunContext } from '../core/plan.ts';
import { systemClock } from '../host/clock.ts';
import { engineForNodes } from './engine-for-nodes.ts';
import type { HostParts } from './host.ts';

/* An engine that tells of itself, and is asked for nothing else. */

const ANSWERS: Readonly<Record<string, object>> = {
  '/version': { Version: '28.1.1', Arch: 'amd64', Components: [{ Name: 'Engine' }] },
  '/info': { SecurityOptions: [] },
};

async function engineAt(socket: string): Promise<void> {
  const server = createServer((request, response) => {
    const answer = request.url === '/_ping' ? 'OK' : JSON.stringify(ANSWERS[request.url ?? '']);
    response.setHeader('content-type', 'application/json').end(answer);
  }).listen(socket);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
}

/** @param named by a flag, or by the environment */
async function withRegistry(named: boolean) {
  const home = scratchFolder();
  const socket = join(home, 'docker.sock');
  await engineAt(socket);
  const said: string[] = [];
  const run: RunContext = {
    clock: systemClock,
    signal: new AbortController().signal,
    events: (event) => {
      if (event.type === 'problem') said.push(event.message);
    },
  };
  const [choice, environment] = named
    ? [{ kind: 'address', url: socket } as const, {}]
    : [{ kind: 'auto' } as const, { DOCKER_HOST: `unix://${socket}` }];
  // All that is asked of the host.
  const host = { home, uid: 1000 } as HostParts;
  return { found: engineForNodes(choice, { registry: true }, environment, host, run), said };
}

test('one whose nodes would not reach the registry is passed over, with a word', async () => {
  const { found, said } = await withRegistry(false);
  expect(await found).toBeUndefined();
  expect(said).toEqual([
    "nodes are containers of kvci's own engine: docker 28.1.1 (DOCKER_HOST) leads its containers to no port of this host's loopback, where the registry is",
  ]);
});

test('one that is named is refused for that', async () => {
  const { found } = await withRegistry(true);
  await expect(found).rejects.toMatchObject({
    code: 'not-reachable-from-nodes',
    exitCode: 2,
    message: expect.stringMatching(
      /^--registry: nodes cannot be in docker 28\.1\.1 \(--engine\): it leads its containers to no port/,
    ) as string,
    hint: expect.stringContaining('--engine embedded') as string,
  });
});
