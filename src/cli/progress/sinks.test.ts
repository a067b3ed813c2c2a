import { describe, expect, test, vi } from 'vitest';

import type { Clock } from '../../core/clock.ts';
import type { Event } from '../../core/events.ts';
import { createProgress, type ProgressFlags } from './create.ts';
import { commandLine, formatDuration } from './format.ts';

const EVENTS: readonly Event[] = [
  { type: 'plan', steps: [{ id: 'base', title: 'base of Debian 13', action: 'reuse', reason: 'same inputs' }] },
  { type: 'step.start', step: 'base', title: 'base of Debian 13' },
  { type: 'step.output', step: 'base', line: 'Get:1 trixie' },
  { type: 'step.progress', step: 'base', done: 50e6, total: 200e6, unit: 'bytes' },
  { type: 'command', argv: ['go', 'build', 'a b'], where: 'host', ms: 1500, exitCode: 1 },
  { type: 'problem', level: 'warning', message: 'slow', hint: 'use KVM' },
  { type: 'step.end', step: 'base', status: 'done', ms: 65_400 },
];

function shown(flags: ProgressFlags, isTty: boolean, columns = 60): string {
  let text = '';
  const clock: Clock = { now: () => 0, monotonic: () => 2000, wait: () => Promise.resolve() };
  const terminal = {
    isTty,
    color: false,
    columns: () => columns,
    write: (part: string) => {
      text += part;
      return Promise.resolve();
    },
  };
  const progress = createProgress(flags, terminal, clock);
  for (const event of EVENTS) progress.sink(event);
  progress.close();
  return text;
}

describe('plain', () => {
  const lines = [
    'reuse  base of Debian 13 (same inputs)',
    '==> base of Debian 13',
    'warning: slow',
    '  hint: use KVM',
    '<== base of Debian 13: done (1 m 05 s)',
    '',
  ];

  test('whole lines; what auto means where there is no terminal', () => {
    expect(shown({ progress: 'plain' }, true)).toBe(lines.join('\n'));
    expect(shown({ progress: 'auto' }, false)).toBe(lines.join('\n'));
  });

  test('-v adds output and commands', () => {
    const text = shown({ progress: 'plain', verbose: true }, false);
    expect(text).toContain('    Get:1 trixie\n');
    expect(text).toContain("$ go build 'a b'  # host, 1.5 s, exit code 1\n");
  });
});

test('a command of hundreds of words is cut', () => {
  const argv = ['dpkg-deb', ...Array.from({ length: 300 }, (_, index) => `package-${index}.deb`)];
  const line = commandLine({ type: 'command', argv, where: 'host', ms: 1500, exitCode: 0 });
  expect(line).toMatch(/^\$ dpkg-deb package-0\.deb .*… \(301 words\) {2}# host, 1\.5 s$/);
  expect(line.length).toBeLessThan(600);
});

test('json: every event a line', () => {
  const text = shown({ progress: 'json' }, true);
  expect(
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual(EVENTS);
});

test.each([{ progress: 'none' }, { progress: 'tty', quiet: true }] as const)('%j shows nothing', (flags) => {
  expect(shown(flags, true)).toBe('');
});

describe('tty', () => {
  test('running steps are redrawn below the lines that stay', () => {
    expect(shown({ progress: 'auto' }, true)).toBe(
      [
        'reuse  base of Debian 13 (same inputs)\n',
        '⠋ base of Debian 13 0 ms\n',
        '\r\u001B[1A\u001B[Jwarning: slow\n  hint: use KVM\n⠋ base of Debian 13 25 % of 200 MB 0 ms  Get:1 trixie\n',
        '\r\u001B[1A\u001B[J✓ base of Debian 13 1 m 05 s\n',
      ].join(''),
    );
  });

  test('a live line never wraps', () => {
    const live = shown({ progress: 'tty' }, true, 24)
      .split('\n')
      .filter((line) => line.startsWith('⠋'));
    expect(live.map((line) => line.length).filter((length) => length > 23)).toEqual([]);
  });

  test('its timer ends with it', () => {
    vi.useFakeTimers();
    shown({ progress: 'tty' }, true);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });
});

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1.0 s'],
  [59_949, '59.9 s'],
  [59_950, '1 m 00 s'],
  [3_725_000, '62 m 05 s'],
])('%d ms is %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
