import { expect, test } from 'vitest';

import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { systemClock } from '../host/clock.ts';
import { sweepOf } from '../host/sweep.ts';
import type { HostCheck, HostProblem } from '../host/types.ts';
import { createHostService, type HostServiceParts } from './host-service.ts';

const tun: HostProblem = { level: 'warning', message: 'closed', commands: [['chmod', '0666', '/dev/net/tun']] };
const go: HostProblem = { level: 'error', message: 'no Go', packages: { apt: ['golang-go'], dnf: ['golang'] } };
const full: HostProblem = { level: 'error', message: 'the disk is full' };

/** A doctor over these problems, and what it ran and said. */
function doctorOf(uid: number, problems: readonly HostProblem[]) {
  const ran: string[] = [];
  const said: string[] = [];
  const unused = (): never => {
    throw new Error('doctor must not ask for this');
  };
  const checks = (): HostCheck[] =>
    problems.map((problem, index) => ({
      id: String(index),
      title: `check ${index}`,
      run: () => Promise.resolve(ran.length === 0 ? problem : undefined),
    }));
  const parts: HostServiceParts = {
    directories: { cache: '', state: '', runtime: '' },
    commands: {
      where: 'host',
      run: (argv) => {
        ran.push(argv.join(' '));
        return Promise.resolve({ argv, exitCode: 0, stdout: '', stderr: '', ms: 1 });
      },
    },
    store: { find: unused, make: unused, list: unused, remove: unused, lastUsed: unused, removeUnused: unused, removeLeftovers: unused },
    ledger: { enter: unused, entries: unused, orphans: unused, unreadable: unused, forget: unused },
    reapers: [],
    sweeps: [],
    uid,
    otherItems: unused,
    images: { size: unused, collectGarbage: unused },
    packageManager: () => Promise.resolve('dnf'),
    checks,
  };
  const run: RunContext = {
    events: (event) => {
      if (event.type === 'problem') said.push(event.message);
    },
    clock: systemClock,
    signal: new AbortController().signal,
  };
  return { fix: () => createHostService(parts).doctor({ fix: true }, run), ran, said, parts, run };
}

test('an ordinary user whose host lacks nothing that is required is told what root could mend', async () => {
  const { fix, ran, said } = doctorOf(1000, [tun]);
  expect(await fix()).toEqual({
    checks: [{ id: '0', title: 'check 0', status: 'warning', message: 'closed', commands: ['chmod 0666 /dev/net/tun'] }],
    fixed: [],
  });
  expect(ran).toEqual([]);
  expect(said).toEqual(['left to root, who can mend it with "kvci doctor --fix": check 0']);
});

test('what no command mends is reported, not refused', async () => {
  const { fix, ran } = doctorOf(1000, [tun, full]);
  expect((await fix()).checks.map(({ status }) => status)).toEqual(['warning', 'error']);
  expect(ran).toEqual([]);
});

test('an ordinary user gets all commands for root when one of them is required', async () => {
  const { fix, ran } = doctorOf(1000, [tun, go]);
  await expect(fix()).rejects.toMatchObject({
    code: 'needs-root',
    hint: expect.stringMatching(/dnf install .*golang\n {2}chmod 0666/) as string,
  });
  expect(ran).toEqual([]);
});

test('root mends warnings and errors', async () => {
  const { fix, ran } = doctorOf(0, [tun, go]);
  const { checks, fixed } = await fix();
  expect(checks.map(({ status }) => status)).toEqual(['ok', 'ok']);
  expect(fixed).toEqual(ran);
  expect(ran).toEqual([expect.stringMatching(/^dnf install/), 'chmod 0666 /dev/net/tun']);
});

test('what cannot be pruned, or seen, keeps nothing else from it', async () => {
  const { parts, run } = doctorOf(0, []);
  const report = await createHostService({
    ...parts,
    ledger: { ...parts.ledger, unreadable: () => Promise.reject(new KvciError('failed', 'bad-ledger-entry', 'x.json is not an entry')) },
    sweeps: [
      sweepOf('nodes of lost clusters', () => Promise.reject(new KvciError('failed', 'engine-not-started', 'Podman did not start'))),
      sweepOf('machines', () => Promise.resolve(['a machine'])),
      { what: 'nodes elsewhere', sweep: () => Promise.resolve({ removed: [], failed: [], unseen: ['the engine at lab was not asked'] }) },
    ],
    store: { ...parts.store, removeLeftovers: () => Promise.resolve(['/cache/half']) },
  }).prune(run);
  expect(report).toEqual({
    removed: ['a machine', '/cache/half'],
    failed: [
      'cannot remove what killed runs have made: x.json is not an entry',
      'cannot remove nodes of lost clusters: Podman did not start',
    ],
    unseen: ['the engine at lab was not asked'],
  });
});
