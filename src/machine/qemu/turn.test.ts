import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { autogroupsProblem, niceOf } from '../../../test/fixtures/autogroups.ts';
import { isMissing } from '../../../test/fixtures/needs.ts';
import type { Event } from '../../core/events.ts';
import { Secret } from '../../core/secrets.ts';
import { systemClock } from '../../host/clock.ts';
import { fileLocks } from '../../host/locks.ts';
import { identify, pidNamespace } from '../../host/processes.ts';
import { takeTurn, turnsOf } from './turn.ts';
import { type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';

const skip = isMissing('autogroups', autogroupsProblem());

it.each([
  [1, 1],
  [2, 1],
  [3, 1],
  [4, 2],
  [16, 8],
])('%i processors are enough for %i clusters at once', (processors, turns) => {
  expect(turnsOf(processors)).toBe(turns);
});

describe('a turn to go on', () => {
  let folder: string;
  const events: Event[] = [];
  const parts = () => ({
    directories: { state: folder, cache: folder },
    locks: fileLocks(systemClock),
    clock: systemClock,
    events: (event: Event) => events.push(event),
  });
  const { signal } = new AbortController();
  const anyone = (): Promise<boolean> => Promise.resolve(true);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-turn-'));
    events.length = 0;
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('is waited for where all have been taken, which is told, and may be cancelled', async () => {
    const turns = turnsOf(availableParallelism());
    const taken = await Promise.all(Array.from({ length: turns }, (_, at) => takeTurn(parts(), `c${at}`, anyone, signal)));
    expect(events).toEqual([]);
    let isMine = false;
    const mine = takeTurn(parts(), 'late', anyone, signal).then((turn) => {
      isMine = true;
      return turn;
    });
    await expect.poll(() => events).toMatchObject([{ message: 'late waits until other emulated clusters have gone on' }]);
    await expect(takeTurn(parts(), 'cancelled', anyone, AbortSignal.timeout(100))).rejects.toMatchObject({ code: 'cancelled' });
    expect(isMine).toBe(false);
    await taken[0]?.[Symbol.asyncDispose]();
    await (await mine)[Symbol.asyncDispose]();
    await Promise.all(taken.slice(1).map((turn) => turn[Symbol.asyncDispose]()));
  });

  describe.skipIf(skip)('beside other clusters', () => {
    const begun: number[] = [];
    /** A sandbox of namespaces: its first process has a QEMU and something else. */
    const sandbox = async (name: string, accelerator: 'kvm' | 'tcg'): Promise<readonly number[]> => {
      await mkdir(join(folder, name));
      const program = join(folder, name, 'qemu-system-test');
      await copyFile('/bin/sleep', program);
      const script = 'setsid "$0" infinity & echo $!; setsid sleep infinity & echo $!; wait';
      const first = spawn('sh', ['-c', script, program], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
      const pids: number[] = [];
      for await (const line of createInterface({ input: first.stdout })) if (pids.push(Number(line)) === 2) break;
      begun.push(...pids, first.pid ?? 0);
      const process = await identify(first.pid ?? 0);
      if (process === undefined) throw new Error('it has ended');
      const key = { privateKey: new Secret('private'), publicKey: 'public' };
      const machine = { addresses: {}, accelerator, firmware: 'direct', cpus: 1, memory: 2 ** 30 } as const;
      const record: VmSandboxRecord = {
        ...{ version: 1, name, createdAt: '2026-11-27T06:00:00.000Z', source: 'test', folder, key, keep: true, binds: [] },
        lan: { families: ['ipv4'], routerAdvertisements: true, dhcpDelaySeconds: 0 },
        sandbox: { name, namespace: await pidNamespace(), network: 'private', ...process },
        machines: { node01: machine },
      };
      await new VmSandboxRecords({ state: folder }, 'cluster-machines').write(record);
      return pids;
    };

    afterEach(() => {
      for (const pid of begun.splice(0)) process.kill(pid, 'SIGKILL');
    });

    it('has their emulated machines stand back, and no others', async () => {
      const [mine] = await sandbox('mine', 'tcg');
      const [emulated, beside] = await sandbox('emulated', 'tcg');
      const [accelerated] = await sandbox('accelerated', 'kvm');
      const [busy] = await sandbox('busy', 'tcg');
      const turn = await takeTurn(parts(), 'mine', (name) => Promise.resolve(name !== 'busy'), signal);
      await expect.poll(() => niceOf(emulated), { timeout: 10_000 }).toBe('13');
      expect(await Promise.all([mine, beside, accelerated, busy].map((pid) => niceOf(pid)))).toEqual(['0', '0', '0', '0']);
      await turn[Symbol.asyncDispose]();
      expect(await niceOf(emulated)).toBe('0');
    });
  });
});
