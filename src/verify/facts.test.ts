import { describe, expect, it } from 'vitest';

import { lookOf, recordedNode, type RecordedNode } from '../../test/fixtures/recorded-node.ts';
import { type Expectations, expectations, factsFileSchema } from './expectations.ts';
import { FACTS, factsOf } from './facts.ts';
import { judge } from './judge.ts';
import { lookQuestions, trialQuestions } from './live.ts';
import { type Answer, type FactResult, NODE_KINDS, type NodeKind } from './types.ts';

/*
 * Every fact holds for what a real node answered, and breaks for the answer changed in one place.
 */

const RECORDED = { container: recordedNode('container'), machine: recordedNode('machine') };

type Boot = keyof RecordedNode;

function expected(kind: NodeKind, file: unknown = {}): Expectations {
  return expectations(kind, factsFileSchema.parse(file));
}

function judged(kind: NodeKind, change: Partial<Record<Boot, Record<string, Answer>>> = {}, file: unknown = {}): readonly FactResult[] {
  const node = RECORDED[kind];
  const look = (boot: Boot) => lookOf(node[boot], change[boot]);
  const looks = { first: look('first'), trial: look('trial'), rebooted: look('rebooted'), copy: look('copy') };
  const wanted = expected(kind, file);
  return judge(factsOf(kind, wanted), wanted, looks);
}

const broken = (results: readonly FactResult[]): readonly string[] =>
  results.filter(({ status }) => status !== 'passed').map(({ id }) => id);

describe.each(NODE_KINDS)('a %s', (kind) => {
  it('was asked everything, and all facts hold', () => {
    const wanted = expected(kind);
    const facts = factsOf(kind, wanted);
    expect(Object.keys(RECORDED[kind].first.answers)).toEqual(expect.arrayContaining(lookQuestions(facts, wanted).map(({ name }) => name)));
    expect(Object.keys(RECORDED[kind].trial.answers)).toEqual(
      expect.arrayContaining(trialQuestions(facts, wanted).map(({ name }) => name)),
    );
    expect(judged(kind).filter(({ status }) => status !== 'passed')).toEqual([]);
  });
});

interface Mutation {
  readonly fact: string;
  readonly what: string;
  readonly question: string;
  /** Of the text; or another answer as a whole. */
  readonly change: readonly [string | RegExp, string] | Answer;
  readonly boot?: Boot;
  readonly kind?: NodeKind;
  readonly seen: string;
}

const failed = (text: string, exitCode = 1): Answer => ({ text, exitCode });

/** `question` is answered otherwise in `boot` (the first by default) and exactly the fact breaks, with what was seen. */
const MUTATIONS: readonly Mutation[] = [
  { fact: 'read-only', what: '/usr written', question: 'write-attempts', change: ['/usr refused', '/usr written'], seen: '/usr written' },
  { fact: 'writable', what: '/etc', question: 'writable', change: ['/etc writable', '/etc read-only'], seen: '/etc read-only' },
  {
    fact: 'writable',
    what: 'CNI',
    question: 'writable',
    change: ['/opt/cni/bin writable', '/opt/cni/bin missing'],
    seen: '/opt/cni/bin missing',
  },
  {
    fact: 'opt-and-home',
    what: '/opt',
    question: 'places',
    change: [/\/opt\/cni\/bin \S+/, '/opt/cni/bin /usr/lib/opt'],
    seen: 'it is /usr/lib/opt',
  },
  { fact: 'opt-and-home', what: '/root', question: 'places', change: [/\/root \S+/, '/root -'], seen: 'it leads nowhere' },
  {
    fact: 'cni-plugins',
    what: 'missing',
    question: 'cni-plugins',
    change: [/portmap \S+/, 'portmap -'],
    seen: 'it is in none of /opt/cni/bin, /usr/lib/cni',
  },
  {
    fact: 'cni-plugins',
    what: 'not copied',
    question: 'cni-plugins',
    change: [/bridge \S+/, 'bridge /usr/lib/cni'],
    seen: 'it is in /usr/lib/cni only',
  },
  { fact: 'deployment', what: 'no ostree', question: 'ostree', change: failed('error: Not booted\n'), seen: 'error: Not booted' },
  { fact: 'deployment', what: 'bootc fails', question: 'bootc', change: failed('error: no\n'), seen: 'error: no' },
  { fact: 'deployment', what: 'no argument', question: '/proc/cmdline', change: { text: 'quiet\n', exitCode: 0 }, seen: 'quiet' },
  {
    fact: 'disk-size',
    what: 'not grown',
    question: 'block-devices',
    change: [/"fssize": *"?\d+"?/g, '"fssize": 1000000000'],
    seen: '1.00 GB',
  },
  {
    fact: 'disk-size',
    what: 'no lsblk',
    question: 'block-devices',
    change: failed('bash: lsblk: command not found\n', 127),
    seen: 'bash: lsblk: command not found',
  },
  {
    fact: 'disk-size',
    what: 'lsblk with a warning before its answer',
    question: 'block-devices',
    change: { text: 'lsblk: sr0: failed to open\n{"blockdevices": []}\n', exitCode: 0 },
    seen: 'lsblk: sr0: failed to open',
  },
  {
    fact: 'disk-size',
    what: 'lsblk in another form',
    question: 'block-devices',
    change: { text: '{"blockdevices": {"name": "vda"}}', exitCode: 0 },
    seen: '{"blockdevices": {"name": "vda"}}',
  },
  {
    fact: 'units-failed',
    what: 'a unit',
    question: 'failed-units',
    change: { text: 'x.service loaded failed failed X\n', exitCode: 0 },
    seen: 'x.service loaded failed failed X',
  },
  { fact: 'units-failed', what: 'no end', question: 'system', change: failed('starting\n'), seen: 'starting' },
  {
    fact: 'units-active',
    what: 'containerd',
    question: 'units',
    change: [/(Id=containerd\.service\n[^]*?ActiveState=)active/, '$1failed'],
    seen: 'failed, result success',
  },
  {
    fact: 'units-active',
    what: 'not there',
    question: 'units',
    change: [/(Id=iscsid\.socket\n[^]*?LoadState=)\w+/, '$1not-found'],
    seen: 'not-found',
  },
  {
    fact: 'kubelet-waits',
    what: 'restarts',
    question: 'units',
    change: [/NRestarts=0/, 'NRestarts=7'],
    seen: 'inactive, 7 restarts, condition no',
  },
  {
    fact: 'kubelet-waits',
    what: 'disabled',
    question: 'units',
    change: [/(Id=kubelet\.service\n[^]*?UnitFileState=)enabled/, '$1disabled'],
    seen: 'disabled',
  },
  {
    fact: 'security-module',
    what: 'off',
    question: '/sys/module/apparmor/parameters/enabled',
    change: failed(''),
    seen: 'none; the kernel has',
  },
  {
    fact: 'security-module',
    what: 'permissive',
    question: '/etc/selinux/config',
    change: { text: '# SELINUX=disabled\nSELINUX=enforcing\n', exitCode: 0 },
    seen: 'apparmor; the kernel has',
  },
  { fact: 'passwords', what: 'a hash', question: 'accounts', change: { text: 'root hash\n', exitCode: 0 }, seen: 'it has a password' },
  {
    fact: 'passwords',
    what: 'none needed',
    question: 'accounts',
    change: { text: 'bob none\n', exitCode: 0 },
    seen: 'it needs no password',
  },
  {
    fact: 'ssh-keys-only',
    what: 'passwords',
    question: 'sshd',
    change: ['passwordauthentication no', 'passwordauthentication yes'],
    seen: 'passwordauthentication yes',
  },
  {
    fact: 'ssh-keys-only',
    what: 'no answer',
    question: 'sshd',
    change: failed('sshd: no hostkeys available -- exiting.\n'),
    seen: 'sshd: no hostkeys available -- exiting.',
  },
  {
    fact: 'ports',
    what: 'rpcbind',
    question: 'listeners',
    change: [/$/, 'tcp   LISTEN 0      4096            0.0.0.0:111       0.0.0.0:*    users:(("rpcbind",pid=612,fd=4))\n'],
    seen: '0.0.0.0 by rpcbind',
  },
  { fact: 'sysctls', what: 'forwarding', question: 'sysctls', change: ['net/ipv4/ip_forward 1', 'net/ipv4/ip_forward 0'], seen: '0' },
  { fact: 'modules', what: 'br_netfilter', question: 'modules', change: ['br_netfilter there', 'br_netfilter missing'], seen: 'it is not' },
  { fact: 'clock', what: 'an hour behind', question: 'clock', change: { text: '1000000000.5\n', exitCode: 0 }, seen: 's behind' },
  { fact: 'clock', what: 'an hour ahead', question: 'clock', change: { text: '9000000000.5\n', exitCode: 0 }, seen: 's ahead' },
  { fact: 'cri', what: 'a plugin', question: 'cri', change: [/(\scri\s+\S+\s+)ok/, '$1error'], seen: 'error' },
  { fact: 'cri', what: 'no answer', question: 'cri', change: failed('ctr: cannot access socket\n'), seen: 'ctr: cannot access socket' },
  { fact: 'images', what: 'one gone', question: 'images', change: [/^\S*\/etcd:.*$/m, ''], seen: 'it is not there' },
  {
    fact: 'images',
    what: 'another digest',
    question: 'images',
    change: [/(\/coredns\S+\s+\S+\s+sha256:)\w{6}/, '$1000000'],
    seen: 'sha256:000000',
  },
  {
    fact: 'images',
    what: 'no answer',
    question: 'images',
    change: failed('ctr: cannot access socket\n'),
    seen: 'ctr: cannot access socket',
  },
  {
    fact: 'images',
    what: 'an answer that is none',
    question: 'images',
    change: { text: '{"images": null}', exitCode: 0 },
    seen: '{"images": null}',
  },
  { fact: 'cri', what: 'a torn answer', question: 'cri', change: { text: '{"status":', exitCode: 0 }, seen: '{"status":' },
  { fact: 'cri', what: 'an answer that is none', question: 'cri', change: { text: '{"status": {}}', exitCode: 0 }, seen: '{"status": {}}' },
  {
    fact: 'kubelet-standalone',
    what: 'no answer',
    question: 'standalone-kubelet',
    boot: 'trial',
    change: ['healthz ok', 'healthz none'],
    seen: '.go:',
  },
  { fact: 'pod', what: 'not running', question: 'standalone-kubelet', boot: 'trial', change: ['pod running', 'pod none'], seen: '.go:' },
  {
    fact: 'reboots',
    what: 'the same boot',
    question: '/proc/sys/kernel/random/boot_id',
    boot: 'rebooted',
    change: RECORDED.machine.first.answers['/proc/sys/kernel/random/boot_id'] ?? failed(''),
    seen: '-',
  },
  {
    fact: 'persistent',
    what: '/etc lost',
    question: 'markers',
    boot: 'rebooted',
    change: [/\/etc\/kvci-verify .*/, '/etc/kvci-verify '],
    seen: 'it is not',
  },
  {
    fact: 'persistent',
    what: 'a copy has it',
    question: 'markers',
    boot: 'copy',
    change: RECORDED.machine.rebooted.answers['markers'] ?? failed(''),
    seen: 'it is there',
  },
  {
    fact: 'machine-id',
    what: 'empty',
    question: '/etc/machine-id',
    change: { text: 'uninitialized\n', exitCode: 0 },
    seen: 'uninitialized',
  },
  {
    fact: 'machine-id',
    what: 'new after a reboot',
    question: '/etc/machine-id',
    boot: 'rebooted',
    change: { text: `${'0'.repeat(32)}\n`, exitCode: 0 },
    seen: '0'.repeat(32),
  },
  {
    fact: 'machine-id',
    what: 'the same in a copy',
    question: '/etc/machine-id',
    boot: 'copy',
    change: RECORDED.machine.first.answers['/etc/machine-id'] ?? failed(''),
    seen: 'the same',
  },
  {
    fact: 'host-keys',
    what: 'new after a reboot',
    question: 'host-keys',
    boot: 'rebooted',
    change: { text: 'ssh-ed25519 AAAA x\n', exitCode: 0 },
    seen: 'ssh-ed25519 AAAA',
  },
  {
    fact: 'host-keys',
    what: 'the same in a copy',
    question: 'host-keys',
    boot: 'copy',
    change: RECORDED.machine.first.answers['host-keys'] ?? failed(''),
    seen: 'both have ssh-ed25519',
  },
  { fact: 'host-keys', what: 'none', question: 'host-keys', change: { text: '', exitCode: 0 }, seen: 'none' },
];

function changed(answer: Answer | undefined, change: Mutation['change']): Answer {
  if ('exitCode' in change) return change;
  const text = answer?.text ?? '';
  const after = text.replace(change[0], change[1]);
  expect(after, 'the change has to change something').not.toBe(text);
  return { text: after, exitCode: answer?.exitCode ?? 0 };
}

describe('a node in which something is wrong', () => {
  it.each(MUTATIONS)('$fact: $what', ({ fact, question, change, boot = 'first', kind = 'machine', seen }) => {
    const answer = changed(RECORDED[kind][boot].answers[question], change);
    // A state fact is asked again after a reboot; the same finding is told once.
    const boots: readonly Boot[] =
      boot === 'first' && FACTS.find(({ id }) => id === fact)?.when === 'each-boot' ? ['first', 'rebooted'] : [boot];
    const results = judged(kind, Object.fromEntries(boots.map((one) => [one, { [question]: answer }])));
    expect(broken(results)).toEqual([fact]);
    const { findings } = results.find(({ id }) => id === fact)!;
    expect(findings.map((finding) => finding.seen).join('\n')).toContain(seen);
    expect(findings.filter(({ file }) => !file.startsWith('/'))).toEqual([]);
  });

  it('every fact has its mutation', () => {
    const ids = FACTS.map(({ id }) => id).filter((id) => id !== 'units-expected');
    expect(ids.filter((id) => !MUTATIONS.some(({ fact }) => fact === id))).toEqual([]);
  });

  it('only after its reboot says so', () => {
    const change = { rebooted: { 'failed-units': { text: 'x.service loaded failed failed X\n', exitCode: 0 } } };
    expect(judged('machine', change).find(({ id }) => id === 'units-failed')).toMatchObject({
      status: 'failed',
      findings: [{ expected: 'x.service does not fail', boot: 'after a reboot' }],
    });
  });
});
