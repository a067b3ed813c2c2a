import { expect, test } from 'vitest';

import { sandboxesByKind } from './sandboxes-by-kind.ts';
import type { SandboxKind, SandboxRecord, Sandboxes } from './types.ts';

const NEVER = new AbortController().signal;

/** Sandboxes that only tell that they were asked. */
function named(kind: SandboxKind): Sandboxes {
  const told = (): Promise<never> => Promise.reject(new Error(kind));
  return { start: told, startDetached: told, find: told, startOverHost: told };
}

const sandboxes = sandboxesByKind(named('namespaces'), () => Promise.resolve(named('container')));

const namespaces: SandboxRecord = { name: 'x', pid: 7, startTime: 'boot/1', namespace: 'pid:[1]', network: 'private' };
const container: SandboxRecord = { kind: 'container', name: 'x', id: 'a1', engine: '/e.sock', network: 'private', folder: '/run/a1' };

test.each<[SandboxKind | undefined, SandboxRecord, SandboxKind]>([
  [undefined, namespaces, 'namespaces'],
  ['namespaces', { ...namespaces, kind: 'namespaces' }, 'namespaces'],
  ['container', container, 'container'],
])('%s', async (kind, record, asked) => {
  const request = {
    name: 'x',
    binds: [],
    network: 'private',
    cgroups: false,
    signal: NEVER,
    ...(kind === undefined ? {} : { kind }),
  } as const;
  await expect(sandboxes.start(request)).rejects.toThrow(asked);
  await expect(sandboxes.startDetached(request, () => Promise.resolve())).rejects.toThrow(asked);
  await expect(sandboxes.find(record)).rejects.toThrow(asked);
  await expect(sandboxes.startOverHost(request)).rejects.toThrow('namespaces');
});
