import { describe, expect, it } from 'vitest';

import { linesOf, modulesInputs, textOf } from './modules-lock.ts';
import { newestGo } from './modules-resolve.ts';
import { payloadRule } from './rules.ts';

describe('the lock of modules', () => {
  it.each([
    ['', []],
    ['module a\n\ngo 1.26.0\n', ['module a', '', 'go 1.26.0']],
  ])('keeps %j as lines and gives it back', (text, lines) => {
    expect(linesOf(text)).toEqual(lines);
    expect(textOf(lines)).toBe(text);
  });

  it('is refused by the name of what is wrong', () => {
    const lock = {
      source: 'modules',
      versions: { kubernetes: '1.36.3', etcd: '', coredns: '', pause: '' },
      created: '2026-07-22T18:07:38Z',
      inputs: { go: 1 },
    } as const;
    expect(() => modulesInputs(lock)).toThrow(
      expect.objectContaining({ code: 'lock-broken', message: expect.stringContaining(': go:') as string }),
    );
  });
});

it.each([
  [['1.26.0', '1.25.0', '1.26.6'], '1.26.6'],
  [['1.22', '1.21.0'], '1.22.0'],
])('the newest Go of %j is %s', (versions, newest) => {
  expect(newestGo(versions)).toBe(newest);
});

describe('what belongs to a Kubernetes version', () => {
  it.each(['1.31.0', '1.36.3', '1.37.0-rc.1', '1.99.0'])('%s has a rule', (version) => {
    expect(payloadRule(version)?.containerd).toMatch(/^>=2/);
  });

  it('is told by the first rule that fits', () => {
    const rules = [
      { kubernetes: '>=1.34.0', containerd: '>=2.2' },
      { kubernetes: '>=1.31.0', containerd: '>=2.0' },
    ];
    expect(payloadRule('1.33.1', rules)?.containerd).toBe('>=2.0');
    expect(payloadRule('1.34.0', rules)?.containerd).toBe('>=2.2');
    expect(payloadRule('1.30.0', rules)).toBeUndefined();
  });
});
