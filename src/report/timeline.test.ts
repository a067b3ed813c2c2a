import { describe, expect, it } from 'vitest';

import { parseRuns, type RecordedRun } from '../core/recorded-run.ts';
import { lanesOf, timeText } from './lanes.ts';
import { timelinePage } from './timeline-html.ts';
import { timelineText } from './timeline-text.ts';

const LINES: readonly object[] = [
  { at: 1000, type: 'run.start', command: 'up', subject: 'lab' },
  { at: 1000, type: 'step.start', step: 'network', title: 'network' },
  { at: 1100, type: 'step.end', step: 'network', status: 'done', ms: 100 },
  { at: 1100, type: 'step.start', step: 'boot node01', title: 'boot (node01)' },
  { at: 1200, type: 'command', argv: ['true'], where: 'host', ms: 1, exitCode: 0 },
  { at: 3100, type: 'step.end', step: 'boot node01', status: 'done', ms: 2000 },
  { at: 3100, type: 'step.start', step: 'init node01', title: 'kubeadm <init> (node01)' },
  { at: 3200, type: 'step.output', step: 'init node01', line: '[init] Using Kubernetes' },
  { at: 4900, type: 'span', title: 'systemd', node: 'node01', from: 1500, to: 2500 },
  { at: 5000, type: 'step.end', step: 'init node01', status: 'failed', ms: 1900 },
  { at: 5000, type: 'run.end', status: 'failed', message: 'a & b' },
];
const TEXT = LINES.map((line) => `${JSON.stringify(line)}\n`).join('');

const only = (text: string): RecordedRun => parseRuns(text)[0]!;

describe('a recorded run', () => {
  it('is what its events tell', () => {
    expect(only(TEXT)).toEqual({
      command: 'up',
      subject: 'lab',
      from: 1000,
      to: 5000,
      status: 'failed',
      message: 'a & b',
      steps: [
        { id: 'network', title: 'network', from: 1000, to: 1100, status: 'done' },
        { id: 'boot node01', title: 'boot (node01)', from: 1100, to: 3100, status: 'done' },
        { id: 'init node01', title: 'kubeadm <init> (node01)', from: 3100, to: 5000, status: 'failed' },
      ],
      spans: [{ title: 'systemd', node: 'node01', from: 1500, to: 2500 }],
      output: [{ step: 'init node01', line: '[init] Using Kubernetes' }],
    });
  });

  it('that was killed never ends; its last line may be torn', () => {
    const torn = TEXT.split('\n').slice(0, 4).join('\n') + '\n{"at":13';
    expect(only(torn)).toMatchObject({
      status: 'running',
      to: 1100,
      steps: [{ status: 'done' }, { id: 'boot node01', status: 'running' }],
    });
  });

  it('is one of several in a file; a step of the same name is another one', () => {
    const [first, second] = parseRuns(TEXT + TEXT.replaceAll('"failed"', '"done"'));
    expect([first?.status, second?.status]).toEqual(['failed', 'done']);
    expect(second?.steps).toHaveLength(3);
  });
});

it('bars stand by node, what belongs to none first', () => {
  expect(lanesOf(only(TEXT))).toEqual([
    { node: undefined, bars: [{ title: 'network', from: 0, to: 100, kind: 'done' }] },
    {
      node: 'node01',
      bars: [
        { title: 'boot', from: 100, to: 2100, kind: 'done' },
        { title: 'systemd', from: 500, to: 1500, kind: 'seen' },
        { title: 'kubeadm <init>', from: 2100, to: 4000, kind: 'failed' },
      ],
    },
  ]);
});

it('a page draws them to scale, with nothing from elsewhere', () => {
  const page = timelinePage('lab', [only(TEXT)]);
  expect(page.match(/<rect class="(?:done|failed|seen)"[^>]*>/g)).toEqual([
    '<rect class="done" x="250.0" y="30" width="21.5" height="12" rx="2"/>',
    '<rect class="done" x="271.5" y="80" width="430.0" height="12" rx="2"/>',
    '<rect class="seen" x="357.5" y="100" width="215.0" height="12" rx="2"/>',
    '<rect class="failed" x="701.5" y="120" width="408.5" height="12" rx="2"/>',
  ]);
  expect(page).toContain('kubeadm &lt;init&gt;');
  expect(page).toContain('a &amp; b');
  expect(page).not.toMatch(/https?:|<script|src=|@import|url\(/);
});

it('lines for a terminal', () => {
  expect(timelineText(only(TEXT), 40)).toBe(
    [
      'kvci up: lab, 1970-01-01 00:00:01 UTC, 4.0 s, failed',
      'a & b',
      'network                100 ms  =',
      'node01 boot             2.0 s  ===========',
      'node01 systemd          1.0 s    ------',
      'node01 kubeadm <init>   1.9 s            xxxxxxxxxx',
    ].join('\n'),
  );
});

it.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1.0 s'],
  [59_949, '59.9 s'],
  [59_950, '1:00 min'],
  [3_725_000, '62:05 min'],
])('%d ms are %s', (ms, text) => {
  expect(timeText(ms)).toBe(text);
});
