import { allOf } from '../core/all-of.ts';
import { digestOf, type Digest } from '../core/digest.ts';
import type { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { ask } from './ask.ts';
import type { BootTimes, TestBench, TestNode } from './bench.ts';
import { type CaseOutcome, judgeCase, skippedCase } from './cases.ts';
import { expectations, expectationsJson, type Expectations, type FactsFile } from './expectations.ts';
import { factsOf } from './facts.ts';
import { judge, type Looks } from './judge.ts';
import { asTrouble, BOOT_ENDS, copyQuestions, look, lookQuestions, step, trialQuestions } from './live.ts';
import { NETWORK_CASES, type NetworkCase } from './network-cases.ts';
import type { CaseResult, Fact, VerifyReport, VerifySubject } from './types.ts';

/** How many nodes run at a time, where there is room for them: on a small host more of them take longer each. */
const LANES = 2;

export interface VerifyRequest {
  readonly subject: VerifySubject;
  readonly facts: FactsFile;
  /** Programs that take part, by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** Bytes of the disk that machines are given. */
  readonly diskSize?: number | undefined;
}

type Boots = VerifyReport['boots'][number][];

/** Everything one verification works on. */
interface Work {
  readonly bench: TestBench;
  /** Those that are asked: all but the skipped ones. */
  readonly facts: readonly Fact[];
  readonly expected: Expectations;
  readonly boots: Boots;
  readonly run: RunContext;
}

/**
 * Boots nodes and proves all facts in them. What a node lacks, or that it does not come up at all, is told in the report.
 *
 * @throws KvciError for what is no fault of the node: a host that is not ready, a cancellation
 */
export async function verify(request: VerifyRequest, bench: TestBench, run: RunContext): Promise<VerifyReport> {
  const started = run.clock.monotonic();
  const { subject, versions } = request;
  const expected = expectations(subject.kind, request.facts, request.diskSize);
  const facts = factsOf(subject.kind, request.facts);
  const asked = facts.filter(({ id }) => expected.skip[id] === undefined);
  const work: Work = { bench, facts: asked, expected, boots: [], run };
  const { life, network } = subject.kind === 'machine' ? await verifyMachines(work) : await verifyContainers(work);
  const results = judge(facts, expected, life.looks, life.trouble?.message);
  return {
    passed: [...results, ...network].every(({ status }) => status === 'passed' || status === 'skipped'),
    subject: bench.accelerator === undefined ? subject : { ...subject, accelerator: bench.accelerator },
    facts: results,
    network,
    factsDigest: factsDigest(facts, expected),
    versions,
    boots: work.boots,
    ms: Math.round(run.clock.monotonic() - started),
  };
}

function factsDigest(facts: readonly Fact[], expected: Expectations): Digest {
  return digestOf({ facts: facts.map(({ id }) => id), cases: NETWORK_CASES.map(({ name }) => name), expected: expectationsJson(expected) });
}

interface Life {
  readonly looks: Looks;
  readonly trouble?: KvciError | undefined;
}

async function verifyContainers(work: Work): Promise<{ readonly life: Life; readonly network: readonly CaseResult[] }> {
  const [first, other] = await inLanes(await lanesOf(work.bench), [
    () => firstNode(undefined, work),
    () => anotherNode('copy', undefined, work),
  ]);
  const trouble = first?.trouble ?? other?.trouble;
  return { life: { looks: withCopy(first?.looks, other?.outcome), trouble }, network: [] };
}

/** The first machine, in the first network, tells all facts; those in the other networks are its copies. */
async function verifyMachines(work: Work): Promise<{ readonly life: Life; readonly network: readonly CaseResult[] }> {
  const { facts, expected } = work;
  const everywhere = facts.filter(({ id }) => id === BOOT_ENDS);
  const wanted = NETWORK_CASES.filter(({ name }) => expected.skip[name] === undefined);
  // The first network is asked even where its own result does not count.
  const [firstNetwork, ...others] = [...NETWORK_CASES.slice(0, 1), ...wanted.filter((network) => network !== NETWORK_CASES[0])];
  const [first, ...rest] = await inLanes<Life & { readonly outcome: CaseOutcome }>(await lanesOf(work.bench), [
    () => firstNode(firstNetwork, work),
    ...others.map((network) => () => anotherNode(network.name, network, work)),
  ]);
  const outcomes = new Map([firstNetwork, ...others].map((network, index) => [network?.name, [first, ...rest][index]?.outcome]));
  const network = NETWORK_CASES.map((one) => {
    const reason = expected.skip[one.name];
    return reason === undefined ? judgeCase(one, everywhere, expected, outcomes.get(one.name) ?? {}) : skippedCase(one, reason);
  });
  const copy = rest.find(({ outcome }) => outcome.look !== undefined);
  const trouble = first?.trouble ?? rest.find((one) => one.trouble !== undefined)?.trouble;
  return { life: { looks: withCopy(first?.looks, copy?.outcome), trouble }, network };
}

function withCopy(looks: Looks = {}, copy: CaseOutcome | undefined): Looks {
  return copy?.look === undefined ? looks : { ...looks, copy: copy.look };
}

/** Boots a node, asks it everything, reboots it and asks again. What it has told before it fails counts. */
async function firstNode(network: NetworkCase | undefined, work: Work): Promise<Life & { readonly outcome: CaseOutcome }> {
  const { facts, expected, run } = work;
  const name = network?.name ?? 'first';
  let looks: Looks = {};
  let outcome: CaseOutcome = {};
  let running = false;
  try {
    await using node = await boot(name, network, work);
    running = true;
    const questions = lookQuestions(facts, expected);
    const first = await step(`facts ${name}`, `facts (${name})`, run, () => look(node, questions, network, run));
    looks = { first };
    outcome = { look: first, times: node.times(), fixed: node.handle.addresses };
    const trials = trialQuestions(facts, expected);
    if (trials.length > 0) {
      const trial = await step('trial', 'standalone kubelet', run, () => ask(node.handle, trials, run.clock, run.signal));
      looks = { ...looks, trial };
    }
    await step('reboot', 'reboot', run, () => node.reboot(run.signal));
    work.boots.push({ what: `${name}, again`, ms: Math.round(node.times().commands) });
    const rebooted = await step('facts again', 'facts after the reboot', run, () => look(node, questions, network, run));
    looks = { ...looks, rebooted };
    return { looks, outcome };
  } catch (error) {
    const trouble = asTrouble(error, running, run.signal);
    return { looks, outcome: { ...outcome, trouble }, trouble };
  }
}

/** Boots a node beside the first one, for what differs between two and for what its network makes of it. */
async function anotherNode(name: string, network: NetworkCase | undefined, work: Work): Promise<Life & { readonly outcome: CaseOutcome }> {
  const { facts, expected, run } = work;
  let times: BootTimes | undefined;
  let running = false;
  try {
    await using node = await boot(name, network, work);
    running = true;
    times = node.times();
    const seen = await step(`facts ${name}`, `facts (${name})`, run, () => look(node, copyQuestions(facts, expected), network, run));
    return { looks: {}, outcome: { look: seen, times: node.times(), fixed: node.handle.addresses } };
  } catch (error) {
    const trouble = asTrouble(error, running, run.signal);
    return { looks: {}, outcome: { times, trouble }, trouble };
  }
}

async function boot(name: string, network: NetworkCase | undefined, { bench, boots, run }: Work): Promise<TestNode> {
  const node = await step(`boot ${name}`, `boot (${name})`, run, () => bench.boot(name, network, run.signal));
  boots.push({ what: name, ms: Math.round(node.times().commands) });
  return node;
}

/** At least one: what does not fit at all says so by itself. */
async function lanesOf(bench: TestBench): Promise<number> {
  return Math.max(1, Math.min(LANES, (await bench.room?.()) ?? LANES));
}

/** Does pieces of work, so many at a time, in order. After a failure nothing more begins, and what is under way is awaited. */
async function inLanes<T>(count: number, works: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  const queue = [...works.entries()];
  const lane = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, work] = next;
      try {
        results[index] = await work();
      } catch (error) {
        queue.length = 0;
        throw error;
      }
    }
  };
  await allOf(Array.from({ length: count }, lane));
  return results;
}
