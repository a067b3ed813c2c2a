import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';

import { freePort, isFree } from './free-port.ts';

it('a port that is free is not one that connections get by themselves, and is free no more once somebody listens', async () => {
  const port = await freePort();
  expect(port).toBeGreaterThanOrEqual(20_000);
  expect(port).toBeLessThan(30_000);
  const server = createServer().listen(port, '0.0.0.0');
  await once(server, 'listening');
  expect(await isFree(port)).toBe(false);
  server.close();
  await once(server, 'close');
  expect(await isFree(port)).toBe(true);
});
