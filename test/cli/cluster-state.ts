const DIGEST = `sha256:${'0'.repeat(64)}`;

/** What `kvci up lab --nodes 2` of an image leaves, as far as it is read without an engine. */
export function state(change: Readonly<Record<string, unknown>> = {}): string {
  const nodes = [
    { name: 'node01', index: 1, role: 'control-plane', labels: {}, joined: true },
    { name: 'node02', index: 2, role: 'worker', labels: {}, joined: true },
  ];
  return JSON.stringify({
    version: 1,
    name: 'lab',
    run: 'abcdef',
    createdAt: '2026-11-23T00:00:00.000Z',
    phase: 'ready',
    options: { name: 'lab', nodes: 2 },
    wanted: 'node:1.36',
    provider: 'kind',
    image: { digest: DIGEST, name: 'node:1.36' },
    kubernetes: '1.36.3',
    families: ['ipv4', 'ipv6'],
    nodes,
    network: { ipv4: '10.89.1.0/24', ipv6: 'fd00:6b76:6369:1::/64' },
    endpoint: '10.89.1.11:6443',
    api: { host: '127.0.0.1', port: 1 },
    steps: [],
    ...change,
  });
}
