import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { NETWORK, reachOutside } from '../../../src/sandbox/node-sandbox.ts';
import type { Sandbox } from '../../../src/sandbox/types.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { testSandboxes } from '../../fixtures/sandboxes.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { withoutWay } from '../../fixtures/way-outside.ts';

/* What nodes of kvci's own engine reach of the host that they are on: what listens for others, nothing of its loopback, its resolver. */

const NEVER = new AbortController().signal;
/** Nobody else's. */
const RESOLVER = '127.53.53.53';
const ANSWER = '203.0.113.7';

const problem = process.getuid?.() === 0 ? undefined : 'only root listens at port 53';

describe.skipIf(isMissing('root', problem))('the network of nodes', () => {
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
  const said: string[] = [];
  const servers: (Server | Socket)[] = [];
  let folder: string;
  let box: Sandbox;

  const listen = async (host: string): Promise<number> => {
    const server = createServer((socket) => socket.end('hello\n')).listen(0, host);
    servers.push(server);
    await once(server, 'listening');
    return (server.address() as { readonly port: number }).port;
  };
  const network = (...argv: [string, ...string[]]): ReturnType<Sandbox['run']> =>
    box.run(['nsenter', `--net=${NETWORK}`, ...argv], { accept: [1, 2, 124] });
  const greeting = async (host: string, port: number): Promise<string> =>
    (await network('timeout', '5', 'bash', '-c', 'exec 3<>"/dev/tcp/$1/$2" && cat <&3', 'bash', host, String(port))).stdout;

  beforeAll(async () => {
    const resolver = createSocket('udp4', (question, { port, address }) => resolver.send(answerTo(question), port, address));
    servers.push(resolver);
    resolver.bind(53, RESOLVER);
    await once(resolver, 'listening');
    folder = await mkdtemp(join(tmpdir(), 'kvci-outside-'));
    box = await testSandboxes(await toolsTree(), folder).start({
      ...{ name: 'test', binds: [], network: 'host', cgroups: false, signal: NEVER },
    });
    await box.run(['sh', '-c', `mkdir -p /run/netns && : >${NETWORK} && unshare --net=${NETWORK} ip link set lo up`]);
    await box.run(['tee', '/etc/resolv.conf'], { stdin: `search example.org\nnameserver ${RESOLVER}\n` });
    await reachOutside(box, (event) => event.type === 'problem' && said.push(event.message), NEVER);
  });

  afterAll(async () => {
    for (const server of servers) server.close();
    await box[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it.skipIf(isMissing('network', own === undefined ? 'this host has no address but its loopback' : undefined))(
    'leads to what listens at an address of the host',
    async () => {
      expect(said).toEqual([]);
      expect(await greeting(own!, await listen(own!))).toBe('hello\n');
    },
  );

  it.each(['127.0.0.1', '::1'])('leads to nothing that listens on its loopback: %s', async (loopback) => {
    const port = await listen(loopback);
    const { stdout: routes } = await network('sh', '-c', 'ip -4 route; ip -6 route');
    const gateways = [...routes.matchAll(/ via (\S+)/g)].map(([, gateway = '']) => gateway);
    expect(gateways).not.toEqual([]);
    await using ways = new AsyncDisposableStack();
    for (const gateway of gateways) ways.use(await withoutWay(gateway));
    for (const address of [...gateways, loopback]) expect(await greeting(address, port)).toBe('');
  });

  it('resolves names by whom the host asks, also on its loopback', async () => {
    expect((await network('getent', 'ahostsv4', 'anything.example')).stdout).toMatch(new RegExp(`^${ANSWER.replaceAll('.', '\\.')} `));
    expect((await box.run(['cat', '/etc/resolv.conf'])).stdout).toMatch(/^search example\.org\nnameserver 198\.18\.0\.53\n$/);
  });
});

/** An answer of one address to a question for one, and of nothing to any other. */
function answerTo(question: Buffer): Buffer {
  // The name ends with an empty label; its type follows.
  const end = question.indexOf(0, 12) + 5;
  const isAddress = question.readUInt16BE(end - 4) === 1;
  const header = Buffer.from(question.subarray(0, 12));
  header.writeUInt16BE(0x8180, 2);
  for (const [at, count] of [1, isAddress ? 1 : 0, 0, 0].entries()) header.writeUInt16BE(count, 4 + 2 * at);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...ANSWER.split('.').map(Number)]);
  return Buffer.concat([header, question.subarray(12, end), ...(isAddress ? [record] : [])]);
}
