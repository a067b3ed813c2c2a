import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import { systemClock } from '../../host/clock.ts';
import type { ContainerInfo, ContainerRequest } from '../../host/engine/containers.ts';
import { isFree } from '../../host/free-port.ts';
import { nodeProblem, type ProbedEngine } from './node-probe.ts';

const NEVER = new AbortController().signal;

type Start = (request: ContainerRequest) => Promise<void>;

/** An engine that starts containers as it is told to; what is in it at the end. */
function engineOf(start: Start, { rootless = false, exitCode = 0 } = {}) {
  const there = new Map<string, ContainerRequest>();
  const images = new Set<string>();
  const probed: ProbedEngine = {
    engine: {
      importRoot: (_tar, tag) => Promise.resolve(void images.add(tag)),
      remove: (tag) => Promise.resolve(void images.delete(tag)),
    },
    containers: {
      info: { name: 'podman', version: '5', rootless, origin: 'test', architecture: 'amd64' },
      create: (request) => {
        there.set(request.name, request);
        return Promise.resolve(request.name);
      },
      start: (id) => start(there.get(id)!),
      list: () =>
        Promise.resolve(
          [...there].map(([id, { name, labels }]): ContainerInfo => ({
            id,
            name,
            labels,
            running: false,
            exitCode,
            addresses: {},
            published: new Map(),
          })),
        ),
      remove: (name) => Promise.resolve(void there.delete(name)),
    },
    tar: { write: () => Readable.from([]) },
    exists: () => true,
    owner: 'me',
    clock: systemClock,
  };
  return { probed, left: () => [...there.keys(), ...images] };
}

/** As an engine does that has the loopback of this host. */
const ours: Start = async ({ publish }) => {
  for (const { host } of publish) if (!(await isFree(host))) throw new KvciError('notFoundOrExists', 'port-taken', `${host} is taken`);
};

const failing =
  (privileged: boolean, message: string): Start =>
  (request) =>
    request.privileged === privileged ? Promise.reject(new KvciError('failed', 'engine-request-failed', message)) : ours(request);

describe('an engine', () => {
  it.each([
    { what: 'of this host', engine: engineOf(ours), problem: undefined },
    {
      what: 'that has another loopback: a mounted socket of an outer host',
      engine: engineOf(() => Promise.resolve()),
      problem: { kind: 'elsewhere', message: expect.stringContaining('publishes ports elsewhere') as string },
    },
    {
      what: 'without privilege',
      engine: engineOf(failing(true, 'operation not permitted')),
      problem: { kind: 'unprivileged', message: 'may not start privileged containers (operation not permitted)' },
    },
    {
      what: 'that cannot be asked',
      engine: engineOf(failing(false, 'network bridge not found')),
      problem: { kind: 'unclear', message: 'cannot be asked where it publishes ports (network bridge not found)' },
    },
    { what: 'without the rights of root that has control groups', engine: engineOf(ours, { rootless: true }), problem: undefined },
    {
      what: 'without the rights of root that has none',
      engine: engineOf(ours, { rootless: true, exitCode: 1 }),
      problem: { kind: 'unprivileged', message: expect.stringContaining('none are delegated') as string },
    },
  ])('$what', async ({ engine, problem }) => {
    expect(await nodeProblem(engine.probed, NEVER)).toEqual(problem);
    expect(engine.left()).toEqual([]);
  });
});
