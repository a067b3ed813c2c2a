import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { Event } from '../core/events.ts';
import type { RunContext } from '../core/plan.ts';
import { systemClock } from '../host/clock.ts';
import { fileLocks } from '../host/locks.ts';
import type { PayloadLock, PayloadSource } from '../payload/types.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import { resolveInputs } from './inputs.ts';
import { LockSession } from './lock-session.ts';
import { imageOptionsSchema } from './options.ts';
import type { ImagePorts } from './ports.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-inputs-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const OLDER: PayloadLock = {
  source: 'modules',
  versions: { kubernetes: '1.36.3', etcd: '3.6.8', coredns: '1.14.3', pause: '3.10.2' },
  created: '2026-07-22T00:00:00Z',
  newerExists: '1.36.6',
  inputs: {},
};

/** Resolves an image for a published base, with a payload source that answers or refuses; what is used is written down in order. */
async function resolve(k8s: string, payload: PayloadLock | KvciError): Promise<{ readonly used: string[]; readonly notes: string[] }> {
  const used: string[] = [];
  const notes: string[] = [];
  const source: Pick<PayloadSource, 'name' | 'resolve'> = {
    name: 'modules',
    resolve: () => {
      used.push('payload');
      return payload instanceof KvciError ? Promise.reject(payload) : Promise.resolve(payload);
    },
  };
  const tools = {
    wanted: ['podman'],
    architecture: 'amd64',
    published: undefined,
    pin: () => undefined,
    use: () => {
      used.push('tools');
      const set: DebianPackageSet = { suite: 'trixie', architecture: 'amd64', wanted: ['podman'], packages: [] };
      return Promise.resolve({ set });
    },
  };
  const ports = { tools, hostArchitecture: 'amd64', payloadSource: () => Promise.resolve(source) } as unknown as ImagePorts;
  const run: RunContext = {
    events: (event: Event) => {
      if (event.type === 'problem') notes.push(event.message);
    },
    clock: systemClock,
    signal: new AbortController().signal,
  };
  const path = join(folder, 'kvci.lock');
  const lock = await LockSession.open({ path, locked: false, update: false, locks: fileLocks(systemClock), runtimeFolder: folder });
  await lock.image('quay.io/fedora/fedora-bootc:43', () => Promise.resolve(sha256('base')));
  const options = imageOptionsSchema.parse({ k8s, base: 'fedora-43', payload: 'modules' });
  await resolveInputs(options, lock, ports, run).catch((error: unknown) => {
    notes.push(error instanceof KvciError ? error.code : String(error));
  });
  return { used, notes };
}

it('tells that a version is not served before the tools image is made', async () => {
  const { used, notes } = await resolve('1.99', new KvciError('notFoundOrExists', 'version-not-served', 'no'));
  expect({ used, notes }).toEqual({ used: ['payload'], notes: ['version-not-served'] });
});

it('notes once that a newer patch exists, and not to whoever named one', async () => {
  expect((await resolve('1.36', OLDER)).notes).toEqual(['Kubernetes 1.36.3 is the newest patch that modules serves whole; 1.36.6 exists']);
  expect(await resolve('1.36.3', OLDER)).toEqual({ used: ['payload', 'tools'], notes: [] });
});
