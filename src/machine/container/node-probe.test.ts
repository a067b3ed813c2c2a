import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import { systemClock } from '../../host/clock.ts';
import type { ContainerInfo, ContainerRequest } from '../../host/engine/containers.ts';
import { isFree } from '../../host/free-port.ts';
import type { TarEntryWithContent } from '../../host/tar.ts';
import { nodeProblem, type NodeProblem, type ProbedEngine, reasonAgainst } from './node-probe.ts';

const NEVER = new AbortController().signal;

type Start = (request: ContainerRequest) => Promise<void>;

const lost = (): Promise<never> => Promise.reject(new KvciError('failed', 'engine-lost', 'the connection was closed'));

/** An engine that starts containers as it is told to; what is in it at the end. */
function engineOf(start: Start, { rootless = false, exitCode = 0, refuses = [] as readonly ('import' | 'create' | 'remove')[] } = {}) {
  const there = new Map<string, ContainerRequest>();
  const images = new Set<string>();
  const probed: ProbedEngine = {
    engine: {
      importRoot: (_tar, tag) => (refuses.includes('import') ? lost() : Promise.resolve(void images.add(tag))),
      remove: (tag) => (refuses.includes('remove') ? lost() : Promise.resolve(void images.delete(tag))),
    },
    containers: {
      info: { name: 'podman', version: '5', rootless, origin: 'test', architecture: 'amd64' },
      create: (request) => {
        if (refuses.includes('create')) return lost();
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
    ...(['import', 'create'] as const).map((refuses) => ({
      what: `that takes no ${refuses}`,
      engine: engineOf(ours, { refuses: [refuses] }),
      problem: { kind: 'unclear', message: 'cannot be asked (the connection was closed)' },
    })),
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

describe('an engine of another host', () => {
  const elsewhere = (start: Start) => {
    const engine = engineOf(start);
    const written: string[] = [];
    const tar: ProbedEngine['tar'] = {
      write: (entries) => {
        for (const { path } of entries as Iterable<TarEntryWithContent>) written.push(path);
        return Readable.from([]);
      },
    };
    return { ...engine, written, probed: { ...engine.probed, tar, exists: undefined } };
  };

  it('is not asked for its loopback, and no folder of its host is bound that may be missing', async () => {
    const bound: unknown[] = [];
    const { probed, written, left } = elsewhere(({ binds, publish }) => {
      bound.push(binds, publish);
      return Promise.resolve();
    });
    expect(await nodeProblem(probed, NEVER)).toBeUndefined();
    expect(bound).toEqual([[{ host: '/usr', inside: '/usr' }], []]);
    expect(written).toEqual(['usr', 'lib', 'lib64']);
    expect(left()).toEqual([]);
  });

  it.each([
    ['mkdir /sys/fs/cgroup/x: permission denied', 'unprivileged'],
    ['exec: "/usr/bin/true": no such file or directory', 'unclear'],
  ])('that says "%s"', async (message, kind) => {
    expect((await nodeProblem(elsewhere(failing(true, message)).probed, NEVER))?.kind).toBe(kind);
  });
});

it('an engine that nobody may ask any more is given up, for the reason that came first', async () => {
  const controller = new AbortController();
  const reason = new KvciError('interrupted', 'cancelled', 'Ctrl-C');
  const { probed } = engineOf(
    () => {
      controller.abort(reason);
      return Promise.reject(reason);
    },
    { refuses: ['remove'] },
  );
  await expect(nodeProblem(probed, controller.signal)).rejects.toBe(reason);
});

describe('what is asked of an engine', () => {
  const info = { name: 'podman', version: '5', rootless: true, origin: 'test', architecture: 'amd64' } as const;
  const unclear: NodeProblem = { kind: 'unclear', message: 'cannot be asked' };

  it.each([
    {
      what: 'that nobody named and that has no rights of root: nothing',
      named: false,
      rootless: true,
      found: unclear,
      asked: 0,
      kind: 'unprivileged',
    },
    { what: 'that nobody named and cannot be asked: not taken', named: false, rootless: false, found: unclear, asked: 1, kind: 'unclear' },
    { what: 'that is named and cannot be asked: taken', named: true, rootless: true, found: unclear, asked: 1, kind: undefined },
    { what: 'that suits', named: false, rootless: false, found: undefined, asked: 1, kind: undefined },
  ])('$what', async ({ named, rootless, found, asked, kind }) => {
    let times = 0;
    const ask = (): Promise<NodeProblem | undefined> => {
      times += 1;
      return Promise.resolve(found);
    };
    expect((await reasonAgainst(named, { ...info, rootless }, ask))?.kind).toBe(kind);
    expect(times).toBe(asked);
  });
});
