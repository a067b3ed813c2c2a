import { request } from 'node:https';
import { Duplex, PassThrough } from 'node:stream';
import { connect } from 'node:tls';
import { z } from 'zod';

import { KvciError, messageOf } from '../core/errors.ts';
import type { NodeHandle } from '../machine/types.ts';
import { hostPort } from './addresses.ts';
import { COMMAND_DEADLINE_MS } from './deadlines.ts';

/*
 * etcd's members through its JSON gateway, https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/: no node has a client of etcd's.
 * The way there is a command on a control plane, as to everything on a node: nothing of etcd is opened to this host.
 */

const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
const PKI = '/etc/kubernetes/pki/etcd';

const memberSchema = z.object({
  ID: z.string(),
  /** Empty until the member has started once. */
  name: z.string().default(''),
  peerURLs: z.array(z.string()).default([]),
});
const membersSchema = z.object({ members: z.array(memberSchema) });

export type EtcdMember = z.output<typeof memberSchema>;

/** Takes a node's member out of etcd; one that is gone is gone. `address` is the node's main one. @throws KvciError `etcd-refused` */
export async function removeEtcdMember(
  through: NodeHandle,
  own: string,
  node: { readonly name: string; readonly address: string },
  signal: AbortSignal,
): Promise<void> {
  const { members } = membersSchema.parse(await ask(through, own, 'list', {}, signal));
  const member = memberOf(members, node);
  if (member !== undefined) await ask(through, own, 'remove', { ID: member.ID }, signal);
}

/** kubeadm names members as their nodes, once they have started; before that only the address is known. */
export function memberOf(
  members: readonly EtcdMember[],
  { name, address }: { readonly name: string; readonly address: string },
): EtcdMember | undefined {
  const peer = `https://${hostPort(address, PEER_PORT)}`;
  return members.find((member) => member.name === name || member.peerURLs.includes(peer));
}

async function ask(through: NodeHandle, address: string, what: 'list' | 'remove', body: object, signal: AbortSignal): Promise<unknown> {
  const [ca, cert, key] = await Promise.all(
    ['ca.crt', 'healthcheck-client.crt', 'healthcheck-client.key'].map(
      async (file) => (await through.run(['cat', `${PKI}/${file}`], { timeoutMs: COMMAND_DEADLINE_MS, signal })).stdout,
    ),
  );
  const ended = new AbortController();
  const limit = AbortSignal.any([signal, ended.signal, AbortSignal.timeout(COMMAND_DEADLINE_MS)]);
  const stream = streamTo(through, address, limit);
  try {
    const { status, text } = await post(
      `/v3/cluster/member/${what}`,
      JSON.stringify(body),
      () => connect({ socket: stream, servername: 'localhost', ca, cert, key }),
      limit,
    );
    if (status === 200) return JSON.parse(text);
    throw new Error(`${status} ${text.trim()}`);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new KvciError('failed', 'etcd-refused', `etcd on ${through.name} does not answer as it should: ${messageOf(error)}`, {
      hint: 'It needs more than half of its members: start a control plane that is down with "kvci up" first.',
      cause: error,
    });
  } finally {
    ended.abort();
  }
}

/** A connection from the node itself: bytes through a command's pipes. */
function streamTo(through: NodeHandle, address: string, signal: AbortSignal): Duplex {
  const up = new PassThrough();
  const down = new PassThrough();
  through.run(['socat', '-', `TCP:${hostPort(address, CLIENT_PORT)}`], { stdin: up, stdout: down, signal }).then(
    () => down.end(),
    (error: unknown) => down.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return Duplex.from({ writable: up, readable: down });
}

function post(
  path: string,
  body: string,
  createConnection: () => Duplex,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        method: 'POST',
        host: 'localhost',
        path,
        createConnection,
        signal,
        headers: { 'content-type': 'application/json', connection: 'close' },
      },
      (response) => {
        response.toArray().then((chunks) => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks as Buffer[]).toString('utf8') });
        }, reject);
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}
