import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, it } from 'vitest';

import { freePort, holdPort, isFree } from './free-port.ts';

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

it("a port that is somebody's who does not listen now is not given away", async () => {
  const even = new Set(Array.from({ length: 5_000 }, (_, at) => 20_000 + 2 * at));
  const ports = await Promise.all(Array.from({ length: 20 }, () => freePort(even)));
  expect(ports.filter((port) => even.has(port))).toEqual([]);
});

it('a port that is held keeps nobody who calls there, and is let go of at once', async () => {
  const held = await holdPort();
  const caller = connect(held.port, '127.0.0.1');
  await once(caller, 'connect');
  await held[Symbol.asyncDispose]();
  caller.destroy();
  expect(await isFree(held.port)).toBe(true);
});
