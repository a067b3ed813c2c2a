import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, duplexPair, PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import type { Event } from '../core/events.ts';
import { systemClock } from '../host/clock.ts';
import type { Vm } from '../machine/qemu/vm.ts';
import type { NodeHandle } from '../machine/types.ts';
import { untilLeft } from './boot-console.ts';
import type { BootRequest } from './services.ts';

/** Ctrl-]. */
const LEAVE = Buffer.from([0x1d]);

let folder: string;
let file: string;
let said: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-boot-console-'));
  file = join(folder, 'console.log');
  said = [];
  await writeFile(file, 'Kernel panic\n');
});

afterEach(() => rm(folder, { recursive: true }));

/** A look at a machine on a terminal. */
function look(node: Vm['node'], consoles: Duplex[]) {
  const stdin = new PassThrough();
  const stdout = new PassThrough().resume();
  let starts = consoles.length;
  const vm = {
    name: 'node01',
    record: { addresses: {}, accelerator: 'tcg', firmware: 'uefi', cpus: 1, memory: 1 },
    node,
    openConsole: () => Promise.resolve(consoles[consoles.length - starts]!),
    goesOn: () => Promise.resolve((starts -= 1) > 0),
  } as Partial<Vm> as Vm;
  const terminal = { columns: 80, rows: 25, onResize: () => () => undefined };
  const streams = () => ({ stdin, stdout, stderr: stdout, terminal, [Symbol.asyncDispose]: () => Promise.resolve() });
  const events = (event: Event): void => {
    if (event.type === 'problem') said.push(event.message);
  };
  const run = { events, clock: systemClock, signal: new AbortController().signal };
  const request = { name: 'node01', timeoutMs: 1000 } as BootRequest;
  const keep = () => Promise.resolve('/state/consoles/node01.log');
  return { stdin, seen: untilLeft(vm, request, streams, { file, keep }, run) };
}

const KEPT = 'the whole console of node01: /state/consoles/node01.log';

it('the console of a machine that fails on a terminal is kept, when whoever looked has left', async () => {
  const [console] = duplexPair();
  const failure = new KvciError('failed', 'machine-not-reachable', 'the kernel panicked');
  const { stdin, seen } = look(() => Promise.reject(failure), [console]);
  await expect.poll(() => said).toContain('the kernel panicked');
  expect(said).not.toContain(KEPT);
  stdin.write(LEAVE);
  expect(await seen).toMatchObject({ name: 'node01', running: false });
  expect(said.at(-1)).toBe(KEPT);
});

/** A machine that does not answer while somebody looks. */
const silent: Vm['node'] = (_deadline, signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(new KvciError('failed', 'cancelled', 'cancelled'));
    });
  });

it('so is that of one that ends before it answers', async () => {
  const [console, machine] = duplexPair();
  const { seen } = look(silent, [console]);
  machine.destroy();
  console.destroy();
  await seen;
  expect(said.at(-1)).toBe(KEPT);
});

it('nothing is kept of one that is left, or that answers', async () => {
  const [console] = duplexPair();
  const { stdin, seen } = look(silent, [console]);
  stdin.write(LEAVE);
  await seen;
  const [other] = duplexPair();
  const answering = look(() => Promise.resolve({} as NodeHandle), [other]);
  await expect.poll(() => said.join('\n')).toContain('answers by SSH');
  other.destroy();
  expect(await answering.seen).toMatchObject({ running: false, sshMs: expect.any(Number) as number });
  expect(said).not.toContain(KEPT);
});

it('a machine that goes on after KVM failed it is shown on', async () => {
  const [first] = duplexPair();
  const [second] = duplexPair();
  const { stdin, seen } = look(silent, [first, second]);
  first.destroy();
  stdin.write('x');
  await expect.poll(() => second.writableLength + Number(second.listenerCount('error') > 0)).toBeGreaterThan(0);
  stdin.write(LEAVE);
  expect(await seen).toMatchObject({ running: false });
});
