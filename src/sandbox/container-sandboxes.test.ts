import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { systemClock } from '../host/clock.ts';
import type { ContainerInfo } from '../host/engine/containers.ts';
import type { HeldRequest } from '../host/engine/held.ts';
import { fileLedger } from '../host/ledger.ts';
import { fileLocks } from '../host/locks.ts';
import { containerSandboxes, endContainerSandbox } from './container-sandboxes.ts';
import type { ContainerSandboxesParts, SandboxEngine } from './container-start.ts';
import type { SandboxRecord, SandboxRequest } from './types.ts';

const NEVER = new AbortController().signal;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-box-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

/** An engine in memory: containers by id, which say a line when they start, and what was asked of it. */
class FakeEngine implements SandboxEngine {
  readonly started: HeldRequest[] = [];
  readonly words: string[] = [];
  readonly running = new Map<string, HeldRequest>();
  says = 'ready';
  refusal: KvciError | undefined;

  readonly containers: SandboxEngine['containers'] = {
    info: { name: 'docker', version: '1', rootless: false, origin: 'test', architecture: 'amd64' },
    list: (labels) => Promise.resolve([...this.running].filter(([, box]) => carries(box, labels)).map(([id, box]) => infoOf(id, box))),
    remove: (id) => {
      for (const [other, { among }] of this.running) if (other === id || among === id) this.running.delete(other);
      return Promise.resolve();
    },
    exec: (id, { argv: [program] }) => {
      if (!this.running.has(id)) return Promise.reject(new KvciError('notFoundOrExists', 'container-stopped', 'it does not run'));
      this.words.push(program);
      return Promise.resolve(0);
    },
  };

  held: SandboxEngine['held'] = () =>
    Promise.resolve({
      info: this.containers.info,
      start: (request) => {
        if (this.refusal !== undefined) return Promise.reject(this.refusal);
        const id = `c${this.started.push(request)}`;
        this.running.set(id, request);
        request.onLine(this.says, 'stdout');
        const ended = this.says === 'ready' ? new Promise<void>(() => undefined) : Promise.resolve();
        return Promise.resolve({ id, ended, hangUp: () => undefined });
      },
    });

  images: SandboxEngine['images'] = () =>
    Promise.resolve({ hasImage: () => Promise.resolve(true), importRoot: () => Promise.reject(new Error('it is there')) });
}

function carries({ labels }: HeldRequest, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function infoOf(id: string, { name, labels }: HeldRequest): ContainerInfo {
  return { id, name, labels, running: true, addresses: {}, published: new Map() };
}

function partsOf(engine: FakeEngine, change: Partial<ContainerSandboxesParts> = {}): ContainerSandboxesParts {
  return {
    commands: { where: 'host', run: () => Promise.reject(new Error('nothing is run')) },
    directories: { runtime: join(folder, 'run') },
    locks: fileLocks(systemClock),
    ledger: fileLedger({ state: join(folder, 'state') }),
    clock: systemClock,
    events: () => undefined,
    environment: {},
    init: () => Promise.resolve('echo ready'),
    user: { uid: 0, gid: 0 },
    socket: () => Promise.resolve('/engine.sock'),
    connect: () => Promise.resolve(engine),
    tools: () => Promise.resolve({ tree: '/tools', key: sha256('tools') }),
    ...change,
  };
}

function request(change: Partial<SandboxRequest> = {}): SandboxRequest {
  return { kind: 'container', name: 'box', binds: [], network: 'private', cgroups: false, signal: NEVER, ...change };
}

const inLedger = async (): Promise<number> => (await readdir(join(folder, 'state', 'ledger')).catch(() => [])).length;
const boxes = (): Promise<string[]> => readdir(join(folder, 'run', 'boxes')).catch(() => []);

describe('a bound sandbox', () => {
  it('that is to lead outside does without a network where its engine cannot give one, and it is said', async () => {
    const said: string[] = [];
    const engine = new FakeEngine();
    const whole = engine.held;
    const refusal = new KvciError('failed', 'engine-request-failed', 'the engine refuses: network bridge not found');
    engine.held = async () => {
      const held = await whole();
      return { ...held, start: (wanted, signal) => (wanted.network === 'bridge' ? Promise.reject(refusal) : held.start(wanted, signal)) };
    };
    const parts = partsOf(engine, { events: (event) => event.type === 'problem' && said.push(event.message) });
    await using _box = await containerSandboxes(parts).start(request({ outbound: true }));
    expect(engine.started.map(({ network }) => network)).toEqual(['none']);
    expect(said).toEqual([
      'the engine has no network for the sandbox "box", which is closed: the engine refuses: network bridge not found',
    ]);
  });

  it('is in the ledger as long as it is there, and leaves nothing', async () => {
    const engine = new FakeEngine();
    const box = await containerSandboxes(partsOf(engine)).start(request());
    expect(await inLedger()).toBe(1);
    expect(await boxes()).toHaveLength(1);
    expect(box.outside('/run/kvci/net/gateway.sock')).toMatch(/\/run\/boxes\/[0-9a-f]{12}\/net\/gateway\.sock$/);
    expect(() => box.outside('/etc/hosts')).toThrow('nothing of /etc/hosts');
    await box[Symbol.asyncDispose]();
    expect([await inLedger(), await boxes(), engine.running.size]).toEqual([0, [], 0]);
    await expect(box.run(['true'])).rejects.toMatchObject({ code: 'sandbox-ended' });
    await endContainerSandbox(partsOf(engine).connect, box.record as Extract<SandboxRecord, { kind: 'container' }>);
  });

  it.each<[string, Partial<ContainerSandboxesParts>, boolean, object | undefined]>([
    ['root', {}, false, undefined],
    ['an ordinary user', { user: { uid: 1000, gid: 100 } }, false, { uid: 1000, gid: 100 }],
    ['an ordinary user with an engine of their own', { user: { uid: 1000, gid: 100 } }, true, undefined],
  ])('of %s runs commands as they have to be run', async (_who, change, rootless, user) => {
    const engine = new FakeEngine();
    const owned = Object.assign(engine, { containers: { ...engine.containers, info: { ...engine.containers.info, rootless } } });
    await using box = await containerSandboxes(partsOf(owned, change)).start(request());
    expect(box.record).toMatchObject({ kind: 'container', engine: '/engine.sock', ...(user === undefined ? {} : { user }) });
    expect('user' in box.record).toBe(user !== undefined);
  });
});

describe('a sandbox that cannot be started', () => {
  it.each<[string, (engine: FakeEngine) => Partial<ContainerSandboxesParts>, Partial<SandboxRequest>, string]>([
    ['says why', (engine) => ((engine.says = 'sh: no such thing'), {}), {}, 'sandbox-failed'],
    [
      'in an engine of another host is told so',
      (engine) => {
        engine.refusal = new KvciError('failed', 'engine-request-failed', 'bind source path does not exist: /x');
        return {};
      },
      {},
      'engine-elsewhere',
    ],
    ['in a folder whose path is too long', () => ({ directories: { runtime: join(folder, 'x'.repeat(64)) } }), {}, 'path-too-long'],
    ['with control groups', () => ({}), { cgroups: true }, 'no-cgroups'],
    ['with a folder that is not there', () => ({}), { binds: [{ host: '/no/such', inside: '/x', writable: false }] }, 'bind-missing'],
    ['when it is cancelled', () => ({}), { signal: AbortSignal.abort() }, 'cancelled'],
  ])('%s, and leaves nothing', async (_what, prepare, change, code) => {
    const engine = new FakeEngine();
    await expect(containerSandboxes(partsOf(engine, prepare(engine))).start(request(change))).rejects.toMatchObject({ code });
    expect([await inLedger(), await boxes(), engine.running.size]).toEqual([0, [], 0]);
  });
});

describe('a detached sandbox', () => {
  it('is let go when its record is kept, is found by it, and in the network of the host too', async () => {
    const engine = new FakeEngine();
    const sandboxes = containerSandboxes(partsOf(engine));
    let kept: SandboxRecord | undefined;
    await sandboxes.startDetached(request(), (record) => {
      expect(engine.words).toEqual([]);
      kept = record;
      return Promise.resolve();
    });
    expect(engine.words).toEqual(['touch']);
    expect(await inLedger()).toBe(0);
    const box = await sandboxes.find(kept!);
    await box!.run(['true']);
    for (const _time of [1, 2]) await (await sandboxes.find({ ...kept!, network: 'host' }))!.run(['true']);
    expect(engine.started.map(({ network, among }) => [network, among])).toEqual([
      ['none', undefined],
      ['host', 'c1'],
    ]);
    await box!.end();
    expect(engine.running.size).toBe(0);
    expect(await boxes()).toEqual([]);
    expect(await sandboxes.find(kept!)).toBeUndefined();
    expect(await sandboxes.find({ ...kept!, network: 'host' })).toBeUndefined();
    await box!.end();
  });

  it('is in the engine that is named, not in the one that would be looked for', async () => {
    const engine = new FakeEngine();
    const sandboxes = containerSandboxes(partsOf(engine, { socket: () => Promise.reject(new Error('nobody looks for one')) }));
    const box = await sandboxes.startDetached(request({ engine: '/named.sock' }), () => Promise.resolve());
    expect(box.record).toMatchObject({ kind: 'container', engine: '/named.sock' });
    await box.end();
  });

  it('is out of the ledger before it stays: a kill in between leaves none to be ended under whoever has its record', async () => {
    const engine = new FakeEngine();
    const { exec } = engine.containers;
    const counted: number[] = [];
    const staying: FakeEngine['containers']['exec'] = async (id, what) => {
      counted.push(await inLedger());
      return exec(id, what);
    };
    const watched = Object.assign(engine, { containers: { ...engine.containers, exec: staying } });
    const box = await containerSandboxes(partsOf(watched)).startDetached(request(), async () => {
      counted.push(await inLedger());
    });
    expect(counted).toEqual([1, 0]);
    await box.end();
  });

  it('does not stay when its record cannot be kept', async () => {
    const engine = new FakeEngine();
    const starting = containerSandboxes(partsOf(engine)).startDetached(request(), () => Promise.reject(new Error('no space')));
    await expect(starting).rejects.toThrow('no space');
    expect([await inLedger(), await boxes(), engine.running.size, engine.words]).toEqual([0, [], 0, []]);
  });
});
