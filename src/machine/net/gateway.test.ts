import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { openThrough, proxyHeader } from './gateway.ts';

it.each([
  ['192.168.66.101', 22, 'PROXY TCP4 127.0.0.1 192.168.66.101 1 22\r\n'],
  ['fd00::101', 6443, 'PROXY TCP6 ::1 fd00::101 1 6443\r\n'],
])('%s port %d', (address, port, header) => {
  expect(proxyHeader(address, port)).toBe(header);
});

it('a connection says first where it is to lead', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-gateway-'));
  const server = createServer((socket) => socket.once('data', (bytes) => socket.end(`seen ${String(bytes)}`)));
  try {
    server.listen(join(folder, 'socket'));
    await once(server, 'listening');
    const stream = await openThrough(join(folder, 'socket'), '192.168.66.101', 22);
    expect(String(await once(stream, 'data'))).toBe('seen PROXY TCP4 127.0.0.1 192.168.66.101 1 22\r\n');
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
});
