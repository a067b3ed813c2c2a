import { once } from 'node:events';
import { createConnection, isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';

import { renderTemplate, type TemplateSources } from '../../core/template.ts';

/** haproxy's configuration of a way into a network from a socket of the sandbox. */
export function gatewayConfig(templates: TemplateSources, socket: string): string {
  return renderTemplate(templates, 'net/gateway.cfg', { socket });
}

/**
 * The line by which one tells where a connection is to lead: the PROXY protocol, version 1, of
 * https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. Where it comes from matters to nobody.
 */
export function proxyHeader(address: string, port: number): string {
  return isIPv6(address) ? `PROXY TCP6 ::1 ${address} 1 ${port}\r\n` : `PROXY TCP4 127.0.0.1 ${address} 1 ${port}\r\n`;
}

/**
 * A TCP connection to an address of the network. Whether anybody answers there shows in the stream, which ends at once where
 * nobody does.
 *
 * @param socket the gateway's, as this process sees it
 * @throws node's own errors when the sandbox is gone
 */
export async function openThrough(socket: string, address: string, port: number): Promise<Duplex> {
  const stream = createConnection(socket);
  await once(stream, 'connect');
  stream.write(proxyHeader(address, port));
  return stream;
}
