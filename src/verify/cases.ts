import type { KvciError } from '../core/errors.ts';
import type { NodeAddresses } from '../machine/types.ts';
import type { BootTimes } from './bench.ts';
import type { Expectations } from './expectations.ts';
import { addressFindings, seenAddresses } from './facts/network.ts';
import type { NetworkCase } from './network-cases.ts';
import type { CaseResult, Fact, Finding, Look } from './types.ts';

/** What came of a machine in one network. */
export interface CaseOutcome {
  readonly look?: Look | undefined;
  readonly times?: BootTimes | undefined;
  /** What the network keeps for it. */
  readonly fixed?: NodeAddresses | undefined;
  readonly trouble?: KvciError | undefined;
}

const NETWORK_FILES = '/usr/lib/systemd/network';

/** Judges a network case. @param everywhere facts that have to hold in every network */
export function judgeCase(network: NetworkCase, everywhere: readonly Fact[], expected: Expectations, outcome: CaseOutcome): CaseResult {
  const { look, times, fixed = {}, trouble } = outcome;
  const head = { name: network.name, title: network.title, expected: network.addresses };
  const findings: Finding[] = [
    ...(trouble === undefined
      ? []
      : [{ expected: 'the machine comes up and answers', seen: trouble.message, file: fileOf(trouble) ?? NETWORK_FILES }]),
    ...(look === undefined
      ? []
      : [...addressFindings(look, network, fixed), ...everywhere.flatMap((fact) => stateFindings(fact, look, expected))]),
    ...slowFindings(times, expected),
  ];
  const console = trouble?.facts['console'];
  return {
    ...head,
    status: findings.length === 0 ? 'passed' : 'failed',
    addresses: (look === undefined ? undefined : seenAddresses(look))?.map(({ address }) => address) ?? [],
    seconds: secondsOf(times),
    findings,
    ...(typeof console === 'string' && console !== '' ? { console } : {}),
  };
}

export function skippedCase(network: NetworkCase, reason: string): CaseResult {
  const { name, title, addresses } = network;
  return { name, title, status: 'skipped', reason, expected: addresses, addresses: [], seconds: {}, findings: [] };
}

function stateFindings(fact: Fact, look: Look, expected: Expectations): readonly Finding[] {
  return fact.when === 'each-boot' ? [...fact.check(look, expected)] : [];
}

function fileOf({ facts }: KvciError): string | undefined {
  return typeof facts['file'] === 'string' ? facts['file'] : undefined;
}

function secondsOf(times: BootTimes | undefined): CaseResult['seconds'] {
  if (times === undefined) return {};
  const { commands, ipv4, ipv6 } = times;
  return {
    ...(ipv4 === undefined ? {} : { ipv4: inSeconds(ipv4) }),
    ...(ipv6 === undefined ? {} : { ipv6: inSeconds(ipv6) }),
    ssh: inSeconds(commands),
  };
}

function inSeconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}

function slowFindings(times: BootTimes | undefined, { seconds }: Expectations): readonly Finding[] {
  if (times === undefined) return [];
  const first = Math.min(times.ipv4 ?? Infinity, times.ipv6 ?? Infinity);
  return [...tooSlow('an address', first, seconds.address), ...tooSlow('SSH', times.commands, seconds.ssh)];
}

function tooSlow(what: string, ms: number, limit: number | undefined): readonly Finding[] {
  if (limit === undefined || !Number.isFinite(ms) || ms <= limit * 1000) return [];
  return [{ expected: `${what} within ${limit} s`, seen: `after ${inSeconds(ms)} s`, file: NETWORK_FILES }];
}
