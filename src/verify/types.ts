import type { Digest } from '../core/digest.ts';
import type { Expectations } from './expectations.ts';

/** What a node image is started as. */
export const NODE_KINDS = ['container', 'machine'] as const;
export type NodeKind = (typeof NODE_KINDS)[number];

/** Something that is asked of a node: a few lines of bash that print the answer. Every process costs an emulated node up to a second. */
export interface Question {
  /** Facts that ask the same have one question in common. */
  readonly name: string;
  readonly script: string;
}

export interface Answer {
  /** Both streams, as they came. */
  readonly text: string;
  readonly exitCode: number;
}

/** What a node answered at one time. */
export interface Look {
  readonly answers: ReadonlyMap<string, Answer>;
  /** By this host's clock, in milliseconds since the epoch: before it was asked, and after. */
  readonly from: number;
  readonly to: number;
}

/** Why a fact does not hold. */
export interface Finding {
  readonly expected: string;
  readonly seen: string;
  /** Absolute path in the image of the file, or folder of files, that decides it. */
  readonly file: string;
}

interface FactHead {
  /** Stable, kebab-case: scripts and files of expectations name it. */
  readonly id: string;
  /** What is so when the fact holds. */
  readonly title: string;
  /** The kinds of nodes that it holds for. */
  readonly on: readonly NodeKind[];
  asks(expected: Expectations): readonly Question[];
}

/** Asked at every boot of a node; changes nothing there. */
export interface StateFact extends FactHead {
  readonly when: 'each-boot';
  check(look: Look, expected: Expectations): Iterable<Finding>;
}

/** Asked once, of a node that has told everything else: asking it changes the node. */
export interface TrialFact extends FactHead {
  readonly when: 'once';
  check(look: Look, expected: Expectations): Iterable<Finding>;
}

/** One node over a reboot, and another one of the same image. */
export interface Lives {
  readonly first: Look;
  readonly rebooted: Look;
  readonly copy: Look;
}

/** Told by comparing boots: what stays, and what is never the same twice. */
export interface LivesFact extends FactHead {
  readonly when: 'over-boots';
  /** Done on the first node before it is rebooted. */
  readonly prepare?: Question;
  check(lives: Lives, expected: Expectations): Iterable<Finding>;
}

/** One statement about a node that is proven by asking it. */
export type Fact = StateFact | TrialFact | LivesFact;

/** `skipped`: the file of expectations says so. `unknown`: it could not be asked. Both come with a reason. */
export type FactStatus = 'passed' | 'failed' | 'skipped' | 'unknown';

export interface FactResult {
  readonly id: string;
  readonly title: string;
  readonly status: FactStatus;
  readonly findings: readonly (Finding & { readonly boot?: string })[];
  readonly reason?: string;
}

export interface CaseResult {
  /** As `NETWORK_CASES` has it. */
  readonly name: string;
  readonly title: string;
  readonly status: Exclude<FactStatus, 'unknown'>;
  readonly reason?: string;
  /** The families that have to get an address, and what came. */
  readonly expected: readonly string[];
  readonly addresses: readonly string[];
  /** Seconds from the start of the machine. */
  readonly seconds: { readonly ipv4?: number; readonly ipv6?: number; readonly ssh?: number };
  readonly findings: readonly Finding[];
  /** The last lines of the console of a machine that did not come up. */
  readonly console?: string;
}

/** What was verified; JSON-able. */
export interface VerifySubject {
  readonly kind: NodeKind;
  /** As it was asked for: a reference or the path of a disk. */
  readonly name: string;
  /** Undefined for a disk that nothing is known of. */
  readonly image?: { readonly digest: Digest; readonly kubernetes?: string; readonly base?: string };
  readonly disk?: { readonly file: string; readonly digest: Digest; readonly size: number };
  /** `kvm` or `tcg`. */
  readonly accelerator?: string;
}

/** JSON-able. */
export interface VerifyReport {
  readonly passed: boolean;
  readonly subject: VerifySubject;
  readonly facts: readonly FactResult[];
  readonly network: readonly CaseResult[];
  /** Digest over the ids of the facts and what was expected. */
  readonly factsDigest: Digest;
  /** Programs that took part, by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** Every start of a node, in milliseconds until it took commands. */
  readonly boots: readonly { readonly what: string; readonly ms: number }[];
  readonly ms: number;
}
