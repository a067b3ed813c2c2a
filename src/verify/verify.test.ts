import { describe, expect, it } from 'vitest';

import { answeringBench, type AnsweringMachine, type Answers } from '../../test/fixtures/answering-bench.ts';
import { recordedNode } from '../../test/fixtures/recorded-node.ts';
import { KvciError } from '../core/errors.ts';
import type { Event } from '../core/events.ts';
import type { Clock } from '../core/clock.ts';
import { lanAddresses } from '../machine/net/lan.ts';
import type { NodeAddresses } from '../machine/types.ts';
import { factsFileSchema } from './expectations.ts';
import type { NetworkCase } from './network-cases.ts';
import type { NodeKind, VerifyReport } from './types.ts';
import { verify } from './verify.ts';

const MACHINE = recordedNode('machine');
const CONTAINER = recordedNode('container');

/** By the clocks of all nodes, too. */
const NOW = 1_700_000_000_000;

/** Waiting takes no time. */
function clock(): Clock {
  let passed = 0;
  return {
    now: () => NOW,
    monotonic: () => passed,
    wait: (ms) => {
      passed += ms;
      return Promise.resolve();
    },
  };
}

function addressesText(addresses: NodeAddresses): string {
  const info = Object.entries(addresses).map(([family, local]) => ({ family: family === 'ipv4' ? 'inet' : 'inet6', local: String(local) }));
  return JSON.stringify([{}, { ifname: 'eth0', addr_info: info }]);
}

/** A machine in which everything holds: as recorded, with the addresses of its network. */
function good(network: NetworkCase | undefined, first: boolean): AnsweringMachine {
  const recorded = network === undefined ? CONTAINER : MACHINE;
  const addresses = network === undefined ? {} : lanAddresses(network.families, 1);
  const answers =
    (boot: number): Answers =>
    (question) => {
      if (question === 'addresses') {
        const come = Object.fromEntries(Object.entries(addresses).filter(([family]) => network?.addresses.some((one) => one === family)));
        return { text: addressesText(come), exitCode: 0 };
      }
      if (question === 'clock') return { text: `${NOW / 1000}\n`, exitCode: 0 };
      const look = first ? (boot === 0 ? recorded.first : recorded.rebooted) : recorded.copy;
      return look.answers[question] ?? recorded.trial.answers[question];
    };
  return { answers, addresses };
}

interface Scenario {
  readonly kind?: NodeKind;
  readonly file?: unknown;
  readonly machine?: (name: string, good: AnsweringMachine) => AnsweringMachine;
  readonly signal?: AbortSignal;
  /** For how many machines the host has room. */
  readonly room?: number;
}

async function verified({
  kind = 'machine',
  file = {},
  room = 9,
  machine = (_name, one) => one,
  signal = new AbortController().signal,
}: Scenario) {
  const events: Event[] = [];
  const bench = answeringBench((name, network) => machine(name, good(network, name === 'dual-stack' || name === 'first')));
  const run = { events: (event: Event) => void events.push(event), clock: clock(), signal };
  const report = verify(
    { subject: { kind, name: 'node' }, facts: factsFileSchema.parse(file), versions: {} },
    { ...bench.bench, room: () => Promise.resolve(room) },
    run,
  );
  return { report: await report, bench, events };
}

/** Everything that any node is asked. */
function asked() {
  const questions = new Set<string>();
  const machine = (_name: string, one: AnsweringMachine): AnsweringMachine => ({
    ...one,
    answers: (boot) => (question) => {
      questions.add(question);
      return one.answers(boot)(question);
    },
  });
  return { questions, machine };
}

const statuses = ({ facts, network }: VerifyReport): Record<string, string> =>
  Object.fromEntries([
    ...facts.map(({ id, status }) => [id, status] as const),
    ...network.map(({ name, status }) => [name, status] as const),
  ]);

const notPassed = (report: VerifyReport): Record<string, string> =>
  Object.fromEntries(Object.entries(statuses(report)).filter(([, status]) => status !== 'passed'));

describe('a verification of machines', () => {
  it('boots one a network, at most two at a time, the first again, and ends them all', async () => {
    const { report, bench } = await verified({});
    expect(notPassed(report)).toEqual({});
    expect(report.passed).toBe(true);
    expect(bench.log.filter((line) => line.startsWith('boot')).toSorted()).toEqual([
      'boot dual-stack',
      'boot ipv4-only',
      'boot ipv6-only',
      'boot no-router-advertisements',
      'boot slow-dhcp',
    ]);
    expect(bench.log.filter((line) => line.startsWith('reboot'))).toEqual(['reboot dual-stack']);
    expect({ running: bench.running(), most: bench.most() }).toEqual({ running: 0, most: 2 });
    expect(report.boots.map(({ what }) => what)).toContain('dual-stack, again');
    expect(report.network.find(({ name }) => name === 'ipv6-only')).toMatchObject({
      expected: ['ipv6'],
      addresses: ['fd00::101'],
      seconds: { ssh: 2, ipv4: 1 },
    });
  });

  it.each([1, 0])('boots one after the other where the host has room for %s', async (room) => {
    const { report, bench } = await verified({ room });
    expect(report.passed).toBe(true);
    expect({ boots: report.boots.length, most: bench.most() }).toEqual({ boots: 6, most: 1 });
  });

  it('tells of a network in which the machine does not come up, with its console, and goes on', async () => {
    const failure = new KvciError('timedOut', 'machine-not-reachable', 'no DHCP', { facts: { console: 'last line' } });
    const { report, bench } = await verified({ machine: (name, one) => (name === 'ipv6-only' ? { ...one, fails: () => failure } : one) });
    expect(notPassed(report)).toEqual({ 'ipv6-only': 'failed' });
    expect(report.passed).toBe(false);
    expect(report.network.find(({ name }) => name === 'ipv6-only')).toMatchObject({
      console: 'last line',
      findings: [{ expected: 'the machine comes up and answers', seen: 'no DHCP' }],
    });
    expect(bench.running()).toBe(0);
  });

  it('knows nothing of facts when the first machine does not come up', async () => {
    const failure = new KvciError('failed', 'machine-ended', 'kernel panic');
    const { report } = await verified({ machine: (name, one) => (name === 'dual-stack' ? { ...one, fails: () => failure } : one) });
    expect(new Set(report.facts.map(({ status, reason }) => `${status}: ${reason ?? ''}`))).toEqual(new Set(['unknown: kernel panic']));
    expect(report.network.map(({ status }) => status)).toEqual(['failed', 'passed', 'passed', 'passed', 'passed']);
    expect(report.passed).toBe(false);
  });

  it('keeps what it has seen when the machine does not come back', async () => {
    const failure = new KvciError('timedOut', 'machine-not-reachable', 'it did not come back');
    const { report } = await verified({
      machine: (name, one) => (name === 'dual-stack' ? { ...one, fails: (boot) => (boot === 1 ? failure : undefined) } : one),
    });
    expect(notPassed(report)).toEqual({
      'dual-stack': 'failed',
      reboots: 'unknown',
      persistent: 'unknown',
      'machine-id': 'unknown',
      'host-keys': 'unknown',
    });
  });

  it('waits for an address that comes late, and misses one that does not come', async () => {
    let asked = 0;
    const late = (name: string, one: AnsweringMachine): AnsweringMachine => ({
      ...one,
      answers: (boot) => (question) => {
        const nothing = { text: '[]', exitCode: 0 };
        if (question === 'addresses' && name === 'ipv4-only') return (asked += 1) > 3 ? one.answers(boot)(question) : nothing;
        if (question === 'addresses' && name === 'slow-dhcp') return nothing;
        return one.answers(boot)(question);
      },
    });
    const { report } = await verified({ machine: late });
    expect(notPassed(report)).toEqual({ 'slow-dhcp': 'failed' });
    expect(report.network.at(-1)?.findings).toMatchObject([
      { expected: 'the IPv4 address 192.168.66.101', seen: 'none' },
      { expected: 'the IPv6 address fd00::101', seen: 'none' },
    ]);
  });

  it('tells of an answer that cannot be read what it was', async () => {
    const odd = (name: string, one: AnsweringMachine): AnsweringMachine => ({
      ...one,
      answers: (boot) => (question) =>
        question === 'addresses' && name === 'ipv6-only'
          ? { text: 'ip: no such option -json\n[]', exitCode: 0 }
          : one.answers(boot)(question),
    });
    const { report } = await verified({ machine: odd });
    expect(notPassed(report)).toEqual({ 'ipv6-only': 'failed' });
    expect(report.network.find(({ name }) => name === 'ipv6-only')?.findings[0]).toMatchObject({
      expected: 'ip lists the addresses',
      seen: 'ip: no such option -json\n[]',
    });
  });

  it('asks nothing of what is skipped, and tells the reason', async () => {
    const file = { skip: { 'slow-dhcp': 'not here', clock: 'no clock', 'host-keys': 'no SSH' }, seconds: { ssh: 1.5 } };
    const { questions, machine } = asked();
    const { report, bench } = await verified({ file, machine });
    expect(bench.log).not.toContain('boot slow-dhcp');
    expect([...questions]).toEqual(expect.arrayContaining(['standalone-kubelet', 'markers']));
    expect([...questions]).not.toEqual(expect.arrayContaining(['clock']));
    expect([...questions]).not.toEqual(expect.arrayContaining(['host-keys']));
    expect(statuses(report)).toMatchObject({ 'slow-dhcp': 'skipped', clock: 'skipped', 'dual-stack': 'failed' });
    expect(report.network[0]?.findings).toMatchObject([{ expected: 'SSH within 1.5 s', seen: 'after 2 s' }]);
    expect(report.facts.find(({ id }) => id === 'clock')?.reason).toBe('no clock');
  });

  it('tries nothing and writes nothing for facts that are skipped', async () => {
    const file = { skip: { 'kubelet-standalone': 'none', pod: 'none', persistent: 'none' } };
    const { questions, machine } = asked();
    const { report, events } = await verified({ file, machine });
    expect(notPassed(report)).toEqual({ 'kubelet-standalone': 'skipped', pod: 'skipped', persistent: 'skipped' });
    expect([...questions].filter((name) => /standalone|markers/.test(name))).toEqual([]);
    expect(events).not.toContainEqual(expect.objectContaining({ step: 'trial' }));
  });

  it.each(['command-failed', 'timed-out', 'no-answer'])('takes %s for trouble of a machine that runs', async (code) => {
    const failure = new KvciError('failed', code, 'systemctl reboot');
    const { report } = await verified({
      machine: (name, one) => (name === 'dual-stack' ? { ...one, fails: (boot) => (boot === 1 ? failure : undefined) } : one),
    });
    expect(report.facts.find(({ id }) => id === 'reboots')).toMatchObject({ status: 'unknown', reason: 'systemctl reboot' });
  });

  it.each([
    ['a host that is not ready', new KvciError('hostNotReady', 'no-tun', 'no tun')],
    ['a disk that is none', new KvciError('failed', 'bad-disk', 'no disk')],
    ['a command of this host that fails before the machine runs', new KvciError('failed', 'command-failed', 'dnsmasq')],
    ['one that does not end', new KvciError('timedOut', 'timed-out', 'nft')],
    ['a bug', new KvciError('bug', 'x', 'x')],
  ])('is none on %s', async (_what, failure) => {
    await expect(verified({ machine: (_name, one) => ({ ...one, fails: () => failure }) })).rejects.toBe(failure);
  });
});

describe('a verification of containers', () => {
  it('starts two, one of them again', async () => {
    const { report, bench } = await verified({ kind: 'container' });
    expect(notPassed(report)).toEqual({});
    expect(report.network).toEqual([]);
    expect(bench.log.toSorted()).toEqual(['boot copy', 'boot first', 'end copy', 'end first', 'reboot first']);
  });

  it('judges by expectations of one’s own', async () => {
    const file = {
      units: { 'containerd.service': 'active' },
      sysctls: { 'net.ipv4.ip_forward': 1 },
      facts: [{ id: 'mine', title: 'mine', run: ['cat', '/x'], matches: '^b$', file: '/x' }],
    };
    const own = (_name: string, one: AnsweringMachine): AnsweringMachine => ({
      ...one,
      answers: (boot) => (question) => {
        if (question === 'own mine') return { text: 'a\n', exitCode: 0 };
        if (question === 'own-units') return { text: 'inactive\n', exitCode: 0 };
        return one.answers(boot)(question);
      },
    });
    const { report } = await verified({ kind: 'container', file, machine: own });
    expect(notPassed(report)).toEqual({ mine: 'failed', 'units-expected': 'failed' });
    expect(report.facts.find(({ id }) => id === 'mine')?.findings).toEqual([
      { expected: 'cat /x prints what matches ^b$', seen: 'a', file: '/x' },
    ]);
  });
});
