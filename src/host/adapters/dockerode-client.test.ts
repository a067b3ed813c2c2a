import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { scratchFolder } from '../../../test/fixtures/layouts.ts';
import { type EngineClient, openClient } from './dockerode-client.ts';

/** An engine that answers each removal of a container in turn, with a status and what it says, and all else by "done". */
async function engine(
  ...removals: readonly (readonly [number, string])[]
): Promise<{ readonly client: EngineClient; readonly asked: string[] }> {
  const asked: string[] = [];
  const left = [...removals];
  const server = createServer((request, response) => {
    const line = `${request.method ?? ''} ${(request.url ?? '').replace(/\?.*/, '')}`;
    asked.push(line);
    const [status, message] = (request.method === 'DELETE' ? left.shift() : undefined) ?? [request.method === 'GET' ? 200 : 204, ''];
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(status === 204 ? '' : JSON.stringify({ message }));
  });
  const path = join(scratchFolder(), 'engine.sock');
  await once(server.listen(path), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const info = { name: 'podman', version: '5.4.2', rootless: false, origin: 'test', architecture: 'amd64' } as const;
  return { client: await openClient({ address: { transport: 'unix', path }, origin: 'test' }, info), asked };
}

const CLEANED = 'cleaning up container abc: removing container abc network: netavark (exit code 1): remove aardvark entries: IO error';

it('a container that Podman is cleaning up is removed once that is done', async () => {
  const { client, asked } = await engine([500, CLEANED], [500, CLEANED]);
  await client.removeContainer('abc');
  expect(asked.filter((line) => line === 'DELETE /containers/abc')).toHaveLength(3);
});

it.each([
  { what: 'what it says else is told at once', removals: [[500, 'no space left on device']] as const, asked: 1, code: 'disk-full' },
  {
    what: 'and is told when it never is',
    removals: Array.from({ length: 9 }, () => [500, CLEANED] as const),
    asked: 5,
    code: 'engine-request-failed',
  },
])('$what', async ({ removals, asked: times, code }) => {
  const { client, asked } = await engine(...removals);
  await expect(client.removeContainer('abc')).rejects.toMatchObject({ code });
  expect(asked.filter((line) => line.startsWith('DELETE'))).toHaveLength(times);
});

it('one that is gone is gone', async () => {
  const { client } = await engine([404, 'no such container']);
  await client.removeContainer('abc');
});
