import { expect, test } from 'vitest';

import { AWAIT_IDS, type InitRequest, sandboxArgv } from './init-arguments.ts';

const request: InitRequest = {
  init: '/kvci/init.sh',
  tree: '/cache/tools/root',
  stage: '/run/kvci/sandbox',
  network: 'host',
  cgroups: false,
  scratch: undefined,
  binds: [],
  copies: [],
  settings: {},
};

const NAMESPACES = ['unshare', '--user', '--mount', '--pid', '--ipc', '--uts', '--cgroup'];
const START = ['--fork', '--kill-child', '--', 'sh', '-c', AWAIT_IDS, 'sh', 'sh', '/kvci/init.sh', 'prepare'];

test.each<[string, Partial<InitRequest>, string[]]>([
  ['a tree with the network of the host', {}, [...NAMESPACES, ...START, '/cache/tools/root', '/run/kvci/sandbox', 'host', 'no', '']],
  [
    'a network, cgroups and scratch of its own',
    { network: 'private', cgroups: true, scratch: '/cache/scratch' },
    [...NAMESPACES, '--net', ...START, '/cache/tools/root', '/run/kvci/sandbox', 'private', 'yes', '/cache/scratch'],
  ],
  ['over the host', { tree: undefined }, [...NAMESPACES, ...START, '', '/run/kvci/sandbox', 'host', 'no', '']],
  [
    'settings and copies first, then binds, parents before children',
    {
      binds: [
        { host: '/a b/deep', inside: '/x/y', writable: false },
        { host: '/top', inside: '/x', writable: true },
      ],
      copies: [{ host: '/etc/hosts', inside: '/etc/hosts' }],
      settings: { 'net/ipv4/ip_forward': '1' },
    },
    [
      ...NAMESPACES,
      ...START,
      ...['/cache/tools/root', '/run/kvci/sandbox', 'host', 'no', ''],
      ...['set', '1', '/proc/sys/net/ipv4/ip_forward'],
      ...['copy', '/etc/hosts', '/etc/hosts'],
      ...['rw', '/top', '/x'],
      ...['ro', '/a b/deep', '/x/y'],
    ],
  ],
])('%s', (_name, change, expected) => {
  expect(sandboxArgv({ ...request, ...change })).toEqual(expected);
});
