import { z } from 'zod';

import type { IpFamily, NodeAddresses } from '../../machine/types.ts';
import { answerTo, command, shown } from '../ask.ts';
import { jsonAnswer } from '../json-answer.ts';
import type { NetworkCase } from '../network-cases.ts';
import type { Finding, Look, Question } from '../types.ts';

const FAMILIES: Readonly<Record<string, IpFamily>> = { inet: 'ipv4', inet6: 'ipv6' };

/** Everything but what a link gives itself. */
export const ADDRESSES: Question = command('addresses', 'ip', '-json', 'address', 'show', 'scope', 'global');

const links = z.array(
  z.object({
    ifname: z.string().optional(),
    addr_info: z.array(z.object({ family: z.string().optional(), local: z.string().optional() })).default([]),
  }),
);

export interface SeenAddress {
  readonly family: IpFamily;
  readonly address: string;
}

/** Answers of `ip -json address`, which has empty objects among them; undefined for what is none. */
export function parseAddresses(text: string): readonly SeenAddress[] | undefined {
  return jsonAnswer(text.trim() === '' ? '[]' : text, links)?.flatMap(({ addr_info: all }) =>
    all.flatMap(({ family = '', local }) => {
      const known = FAMILIES[family];
      return known === undefined || local === undefined ? [] : [{ family: known, address: local }];
    }),
  );
}

/** Undefined where the node could not list them. */
export function seenAddresses(look: Look): readonly SeenAddress[] | undefined {
  const answer = answerTo(look, ADDRESSES);
  return answer.exitCode === 0 ? parseAddresses(answer.text) : undefined;
}

/** What decides how a node comes into its network: of networkd, and of NetworkManager. */
const PROFILE = '/usr/lib/systemd/network/50-kvci.network or /usr/lib/NetworkManager/system-connections/kvci.nmconnection';

const NAMES: Readonly<Record<IpFamily, string>> = { ipv4: 'IPv4', ipv6: 'IPv6' };

/** @param fixed the addresses that the network keeps for the machine */
export function* addressFindings(look: Look, network: NetworkCase, fixed: NodeAddresses): Generator<Finding> {
  const seen = seenAddresses(look);
  if (seen === undefined) {
    yield { expected: 'ip lists the addresses', seen: shown(answerTo(look, ADDRESSES)), file: PROFILE };
    return;
  }
  for (const family of ['ipv4', 'ipv6'] as const) {
    const have = seen.filter((one) => one.family === family).map(({ address }) => address);
    const wanted = fixed[family];
    if (!network.families.includes(family)) {
      if (have.length > 0) yield { expected: `no ${NAMES[family]} address`, seen: have.join(', '), file: PROFILE };
    } else if (network.addresses.includes(family) && (have.length === 0 || (wanted !== undefined && !have.includes(wanted)))) {
      yield { expected: `the ${NAMES[family]} address ${wanted ?? ''}`.trimEnd(), seen: have.join(', ') || 'none', file: PROFILE };
    }
  }
}

/** Whether every address that has to come is there. */
export function hasAddresses(look: Look, network: NetworkCase): boolean {
  const seen = new Set(seenAddresses(look)?.map(({ family }) => family));
  return network.addresses.every((family) => seen.has(family));
}
