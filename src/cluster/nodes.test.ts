import { describe, expect, it } from 'vitest';

import { clusterState } from '../../test/fixtures/cluster-state.ts';
import { KvciError } from '../core/errors.ts';
import { withMore } from './add-nodes.ts';
import { kubeadmCluster } from './control-plane.ts';
import { exposeApi, isBalanced, publishedBy } from './endpoint.ts';
import { memberOf } from './etcd.ts';
import { clusterOptionsSchema } from './options.ts';
import { remaining } from './remove-node.ts';
import { type ClusterState, withNodes } from './state.ts';

const NETWORK = { ipv4: '10.89.1.0/24', ipv6: 'fd00:6b76:6369:1::/64' };

function cluster(controlPlanes: number, nodes: number, change: Partial<ClusterState> = {}): ClusterState {
  return clusterState({ nodes, controlPlanes }, (specs) => ({
    phase: 'ready',
    families: ['ipv4', 'ipv6'],
    nodes: specs.map((node) => ({ ...node, joined: true })),
    network: NETWORK,
    endpoint: controlPlanes > 1 ? '10.89.1.1:6443' : '10.89.1.11:6443',
    ...change,
  }));
}

const names = (nodes: readonly { readonly name: string; readonly role: string }[]): string[] =>
  nodes.map(({ name, role }) => `${name} ${role}`);

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof KvciError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('nodes that are added', () => {
  it('get the lowest numbers that are free', () => {
    const { nodes } = cluster(1, 4);
    const state = cluster(1, 4, { nodes: nodes.filter(({ name }) => name !== 'node02') });
    expect(names(withMore(state, { role: 'worker', count: 2 }))).toEqual([
      'node01 control-plane',
      'node02 worker',
      'node03 worker',
      'node04 worker',
      'node05 worker',
    ]);
  });

  it('of a cluster of both kinds are what its options say, also when it has nodes of one kind only', () => {
    const options = clusterOptionsSchema.parse({ nodes: 1, provider: 'vm', controlPlaneProvider: 'kind' });
    const state = cluster(1, 1, { options, provider: 'mixed' });
    expect(withMore(state, { role: 'worker', count: 1 }).at(-1)).toMatchObject({ name: 'node02', provider: 'vm' });
  });

  it('have not joined yet, and count in the options', () => {
    const state = cluster(3, 4);
    const nodes = withMore(state, { role: 'control-plane', count: 1 });
    expect(nodes.find(({ name }) => name === 'node05')).toMatchObject({ role: 'control-plane', index: 5, joined: false });
    expect(withNodes(state, nodes).options).toEqual({ ...state.options, nodes: 5, controlPlanes: 4 });
  });

  it.each([
    { what: 'a second control plane', state: cluster(1, 2), role: 'control-plane', count: 1, code: 'single-control-plane' },
    { what: 'an eighth control plane', state: cluster(3, 3), role: 'control-plane', count: 5, code: 'too-many-nodes' },
    {
      what: 'more machines than there are addresses for',
      state: cluster(1, 1, { provider: 'vm' }),
      role: 'worker',
      count: 154,
      code: 'too-many-nodes',
    },
    { what: 'more than there are addresses for', state: cluster(1, 1), role: 'worker', count: 200, code: 'too-many-nodes' },
  ] as const)('never $what', ({ state, role, count, code }) => {
    expect(codeOf(() => withMore(state, { role, count }))).toBe(code);
  });
});

describe('the address of the API', () => {
  it.each([
    { what: 'one control plane, not made yet', state: cluster(1, 1, { endpoint: undefined }), balanced: false },
    { what: 'three, not made yet', state: cluster(3, 3, { endpoint: undefined }), balanced: true },
    { what: 'one', state: cluster(1, 2), balanced: false },
    { what: 'three', state: cluster(3, 3), balanced: true },
    { what: 'one that is left of three', state: cluster(1, 2, { endpoint: '10.89.1.1:6443' }), balanced: true },
  ])('$what', ({ state, balanced }) => {
    expect(isBalanced(state, NETWORK)).toBe(balanced);
  });
});

describe('the names by which the API server may be called', () => {
  const own = ['localhost', '127.0.0.1', '::1'];
  const addresses = ['10.89.1.11', 'fd00:6b76:6369:1::11'];
  it.each([
    { engine: undefined, more: [] },
    { engine: { transport: 'unix', path: '/run/docker.sock' }, more: [] },
    { engine: { transport: 'ssh', destination: 'core@lab', socket: '/run/docker.sock' }, more: [] },
    { engine: { transport: 'tcp', host: 'lab.example', port: 2376 }, more: ['lab.example'] },
    { engine: { transport: 'tcp', host: '127.0.0.1', port: 2376 }, more: [] },
  ] as const)('in an engine at $engine', ({ engine, more }) => {
    expect(kubeadmCluster({ state: cluster(1, 2, { engine }) }, NETWORK).names).toEqual([...own, ...more, ...addresses]);
  });
});

describe('the port of this host that leads to the API', () => {
  it.each([
    { what: 'that was chosen', state: cluster(1, 2, { apiPort: 24001 }), port: 24001 },
    { what: 'that it had before', state: cluster(1, 2, { apiPort: 24001, api: { host: '127.0.0.1', port: 24002 } }), port: 24002 },
  ])('is the one $what', async ({ state, port }) => {
    const wanted: (number | undefined)[] = [];
    const machines: Parameters<typeof exposeApi>[2] = {
      balance: () => Promise.reject(new Error('with one control plane there is no load balancer')),
      forward: (_name, _targets, _signal, hostPort) => {
        wanted.push(hostPort);
        return Promise.resolve({ host: '127.0.0.1', port: hostPort ?? 0 });
      },
    };
    expect((await exposeApi(state, NETWORK, machines, new AbortController().signal)).api.port).toBe(port);
    expect(wanted).toEqual([port]);
  });

  it.each([
    { what: 'of one control plane: itself', state: cluster(1, 2, { apiPort: 24001 }), published: [1, 0] },
    { what: 'of several: the load balancer', state: cluster(2, 2, { apiPort: 24001 }), published: [0, 0] },
    { what: 'before it is chosen: nobody', state: cluster(1, 1), published: [0] },
  ])('is published $what', ({ state, published }) => {
    expect(state.nodes.map((node) => publishedBy(node, state, NETWORK).length)).toEqual(published);
  });
});

describe('a node that is removed', () => {
  it('leaves the others, the first one, too', () => {
    const state = cluster(3, 4);
    expect(names(remaining(state, state.nodes[0]!))).toEqual(['node02 control-plane', 'node03 control-plane', 'node04 worker']);
  });

  it('is never the last control plane that is a member', () => {
    const one = cluster(1, 2);
    expect(codeOf(() => remaining(one, one.nodes[0]!))).toBe('last-control-plane');
    const { nodes } = cluster(2, 2);
    const half = cluster(2, 2, { nodes: nodes.map((node) => ({ ...node, joined: node.index === 1 })) });
    expect(codeOf(() => remaining(half, half.nodes[0]!))).toBe('last-control-plane');
  });

  it.each([
    { what: 'by its name', name: 'node02', address: '10.89.1.99', found: '2' },
    { what: 'by its address before it has started', name: 'node03', address: 'fd00:6b76:6369:1::13', found: '3' },
    { what: 'not at all once it is gone', name: 'node04', address: '10.89.1.14', found: undefined },
  ])('is a member of etcd $what', ({ name, address, found }) => {
    const members = [
      { ID: '1', name: 'node01', peerURLs: ['https://10.89.1.11:2380'] },
      { ID: '2', name: 'node02', peerURLs: ['https://10.89.1.12:2380'] },
      { ID: '3', name: '', peerURLs: ['https://[fd00:6b76:6369:1::13]:2380'] },
    ];
    expect(memberOf(members, { name, address })?.ID).toBe(found);
  });
});
