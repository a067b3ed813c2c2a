import type { Json } from '../../core/digest.ts';
import { junitXml, type JunitCase } from '../../report/junit.ts';
import { verificationStatement } from '../../report/verification-statement.ts';
import type { CaseResult, FactResult, Finding, VerifyReport } from '../../verify/types.ts';
import type { TextStyle } from '../command.ts';
import { painter } from '../progress/format.ts';
import { table } from './table.ts';

type Result = FactResult | CaseResult;

const MARKS = { passed: ['green', 'pass'], failed: ['red', 'fail'], skipped: ['yellow', 'skip'], unknown: ['red', '????'] } as const;

/** Failures last, where the eye is when a long list has scrolled by. */
export function formatVerification(
  { subject, facts, network, passed }: VerifyReport,
  statement: string | undefined,
  style: TextStyle,
): string {
  const all = [...facts.map(asLine), ...network.map((one) => ({ ...asLine(one), id: `network ${one.name}` }))];
  const bad = all.filter(({ status }) => status === 'failed' || status === 'unknown');
  const paint = painter(style.color);
  const head = ({ id, title, status, reason }: Line): string => {
    const [color, mark] = MARKS[status];
    return `${paint(color, mark)}  ${id}: ${title}${reason === undefined ? '' : ` (${reason})`}`;
  };
  return [
    ...all.filter((line) => !bad.includes(line)).map(head),
    ...bad.flatMap((line) => [head(line), ...line.findings.flatMap(findingLines)]),
    ...network.flatMap(({ name, console }) => (console === undefined ? [] : ['', `console (${name}):`, indented(console, '  ')])),
    '',
    ...(network.length === 0 ? [] : [networkTable(network), '']),
    ...(statement === undefined ? [] : [`report: ${statement}`]),
    passed
      ? `${subject.name}: all ${all.length} facts hold${asKind(subject.kind)}.`
      : `${subject.name}: ${bad.length} of ${all.length} facts do not hold${asKind(subject.kind)}.`,
  ].join('\n');
}

interface Line {
  readonly id: string;
  readonly title: string;
  readonly status: FactResult['status'];
  readonly reason: string | undefined;
  readonly findings: FactResult['findings'];
}

function asLine(result: Result): Line {
  const { title, status, reason, findings } = result;
  return { id: 'id' in result ? result.id : result.name, title, status, reason, findings };
}

function asKind(kind: string): string {
  return kind === 'container' ? ' as a container' : '';
}

function findingLines({ expected, seen, file, boot }: FactResult['findings'][number]): string[] {
  return [
    `        expected: ${expected}${boot === undefined ? '' : ` ${boot}`}`,
    `        seen:     ${indented(seen, '                  ').trimStart()}`,
    `        file:     ${file}`,
  ];
}

function indented(text: string, indent: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `${indent}${line}`)
    .join('\n');
}

function networkTable(network: readonly CaseResult[]): string {
  const seconds = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(1)} s`);
  return table(
    ['NETWORK', 'IPV4', 'IPV6', 'SSH', 'ADDRESSES'],
    network.map((one) => [
      one.name,
      seconds(one.seconds.ipv4),
      seconds(one.seconds.ipv6),
      seconds(one.seconds.ssh),
      one.status === 'skipped' ? 'skipped' : one.addresses.join(', ') || 'none',
    ]),
  );
}

/** For `--output junit`. @param at when it ended, in milliseconds since the epoch */
export function junitReport({ subject, facts, network, versions, ms }: VerifyReport, at: number): string {
  const timestamp = new Date(at - ms).toISOString();
  const properties = {
    ...versions,
    ...(subject.image === undefined ? {} : { image: subject.image.digest }),
    ...(subject.disk === undefined ? {} : { disk: subject.disk.digest }),
    ...(subject.accelerator === undefined ? {} : { accelerator: subject.accelerator }),
  };
  const suites = [
    { name: 'facts', cases: facts.map((fact) => junitCase(fact.id, 'facts', fact)) },
    { name: 'network', cases: network.map((one) => ({ ...junitCase(one.name, 'network', one), ...networkExtras(one) })) },
  ];
  return junitXml(
    subject.name,
    suites.filter(({ cases }) => cases.length > 0).map((suite) => ({ ...suite, timestamp, properties })),
  );
}

function junitCase(name: string, suite: string, result: Result): JunitCase {
  const { findings, status, reason = '' } = result;
  const head = { name: `${name}: ${result.title}`, className: `kvci.verify.${suite}` };
  if (status === 'passed') return head;
  const [first] = findings;
  if (first === undefined) return { ...head, outcome: { kind: status === 'skipped' ? 'skipped' : 'error', message: reason } };
  const text = findings
    .map((finding: Finding) =>
      findingLines(finding)
        .map((line) => line.trim())
        .join('\n'),
    )
    .join('\n\n');
  return { ...head, outcome: { kind: 'failure', message: `expected ${first.expected}, seen ${first.seen}`, text } };
}

function networkExtras({ seconds, console }: CaseResult): Pick<JunitCase, 'seconds' | 'output'> {
  return { ...(seconds.ssh === undefined ? {} : { seconds: seconds.ssh }), ...(console === undefined ? {} : { output: console }) };
}

/** The report as a file beside the disk. @param at when it ended, in milliseconds since the epoch */
export function reportStatement({ subject, facts, network, factsDigest, versions, boots, ms }: VerifyReport, at: number): string {
  const { image, disk, kind, accelerator } = subject;
  return verificationStatement({
    subjects: [
      ...(disk === undefined ? [] : [{ name: disk.file.replace(/^.*\//, ''), digest: disk.digest }]),
      ...(image === undefined ? [] : [{ name: disk === undefined ? subject.name : 'image', digest: image.digest }]),
    ],
    configuration: [{ name: 'facts', digest: factsDigest }],
    tests: [
      ...facts.map(({ id, status }) => ({ name: id, status })),
      ...network.map(({ name, status }) => ({ name: `network/${name}`, status })),
    ],
    versions,
    details: JSON.parse(
      JSON.stringify({
        kind,
        accelerator,
        finishedOn: new Date(at).toISOString(),
        ms,
        boots,
        network: network.map(({ name, addresses, seconds }) => ({ name, addresses, seconds })),
        findings: Object.fromEntries(
          [...facts.map(asLine), ...network.map(asLine)].flatMap(({ id, findings }) => (findings.length === 0 ? [] : [[id, findings]])),
        ),
      }),
    ) as Json,
  });
}
