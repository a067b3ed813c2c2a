import { describe, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import type { CommandResult } from '../../host/types.ts';
import type { NodeHandle } from '../../machine/types.ts';
import type { BootedNode } from './boot.ts';
import { apiWasAway, joinNode } from './join.ts';

const REFUSED = 'cannot get Node "node04": Get "https://192.168.66.101:6443/api/v1/nodes/node04": dial tcp: connect: connection refused';
const UNKNOWN = "couldn't validate the identity of the API Server: invalid discovery token CA certificate";

it.each([
  [REFUSED, true],
  ['Get "https://[fd00::101]:6443/": net/http: TLS handshake timeout', true],
  ['read tcp 10.0.0.1:6443: i/o timeout', true],
  ['etcdserver: request timed out', true],
  [UNKNOWN, false],
  ['a Node with name "node04" and status "Ready" already exists in the cluster', false],
])('%s', (message, away) => {
  expect(apiWasAway(message)).toBe(away);
});

describe('a join', () => {
  /** A node on which `kubeadm join` fails so often, and leaves what a reset takes away. */
  async function joined(failures: number, message: string) {
    const ran: string[] = [];
    let left = false;
    const run = (argv: readonly [string, ...string[]]): Promise<CommandResult> => {
      const command = argv.slice(0, 2).join(' ');
      ran.push(command);
      const done = { argv, exitCode: argv[0] === 'test' && !left ? 1 : 0, stdout: '', stderr: '', ms: 0 };
      if (command === 'kubeadm reset') left = false;
      if (command !== 'kubeadm join') return Promise.resolve(done);
      left = true;
      if (ran.filter((line) => line === command).length > failures) return Promise.resolve(done);
      return Promise.reject(new KvciError('failed', 'command-failed', message));
    };
    const handle = { name: 'node04', addresses: { ipv4: '192.168.66.104' }, run, write: () => Promise.resolve() } as unknown as NodeHandle;
    const node = { name: 'node04', index: 4, role: 'worker', labels: {}, joined: false } as const;
    const booted: BootedNode = { node, handle, facts: { container: false, emulated: true, missingControllers: [] } };
    const cluster = {
      name: 'lab',
      kubernetes: '1.36.3',
      families: ['ipv4'],
      endpoint: '192.168.66.101:6443',
      names: [],
      allocateRanges: false,
    } as const;
    const secrets = { token: { reveal: () => 'token' }, caHash: 'sha256:0' } as unknown as Parameters<typeof joinNode>[2];
    const forgotten: number[] = [];
    const forget = (): Promise<void> => {
      forgotten.push(ran.length);
      return Promise.resolve();
    };
    const end = joinNode(booted, cluster, secrets, new AbortController().signal, { line: () => undefined }, forget);
    const outcome = await end.then(
      () => 'joined',
      (error: unknown) => (error instanceof KvciError ? error.code : 'other'),
    );
    return { outcome, joins: ran.filter((line) => line === 'kubeadm join').length, forgotten: forgotten.length };
  }

  it.each([
    ['that the API left without an answer is done again, from the start', 2, REFUSED, { outcome: 'joined', joins: 3, forgotten: 2 }],
    ['that is never answered ends', 9, REFUSED, { outcome: 'kubeadm-failed', joins: 3, forgotten: 2 }],
    ['that is refused ends at once', 1, UNKNOWN, { outcome: 'kubeadm-failed', joins: 1, forgotten: 0 }],
  ])('%s', async (_what, failures, message, seen) => {
    expect(await joined(failures, message)).toEqual(seen);
  });
});
