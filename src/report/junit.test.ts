import { XMLParser } from 'fast-xml-parser';
import { expect, it } from 'vitest';

import { junitXml } from './junit.ts';

const XML = junitXml('node "1" <x>', [
  {
    name: 'facts',
    timestamp: '2026-11-26T00:00:00.000Z',
    properties: { image: 'sha256:00' },
    cases: [
      { name: 'read-only', className: 'verify.facts' },
      { name: 'ports', className: 'verify.facts', outcome: { kind: 'failure', message: 'a & "b"', text: 'expected: nothing\nseen: <x>' } },
      { name: 'clock', className: 'verify.facts', outcome: { kind: 'skipped', message: 'no clock' } },
      { name: 'pod', className: 'verify.facts', outcome: { kind: 'error', message: 'not asked' } },
    ],
  },
  {
    name: 'network',
    timestamp: '2026-11-26T00:00:00.000Z',
    properties: {},
    cases: [{ name: 'dual-stack', className: 'verify.network', seconds: 30.04, output: '\u001b[32mLinux\u0000 version\ud800 6\n' }],
  },
]);

it('has no character that XML cannot hold, whatever a console says', () => {
  expect(XML).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n[\t\n -\ufffd]+$/);
});

it('counts and tells what failed', () => {
  const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '', parseAttributeValue: true });
  const { testsuites } = parser.parse(XML) as { testsuites: { testsuite: readonly { testcase: unknown }[] } };
  expect(testsuites).toMatchObject({ name: 'node "1" <x>', tests: 5, failures: 1, errors: 1, skipped: 1, time: 30 });
  const [facts, network] = testsuites.testsuite;
  expect(facts).toMatchObject({ name: 'facts', tests: 4, failures: 1 });
  expect(facts?.testcase).toMatchObject([
    { name: 'read-only', classname: 'verify.facts' },
    { name: 'ports', failure: { message: 'a & "b"', '#text': 'expected: nothing\nseen: <x>' } },
    { name: 'clock', skipped: { message: 'no clock' } },
    { name: 'pod', error: { message: 'not asked' } },
  ]);
  expect(network?.testcase).toMatchObject({ name: 'dual-stack', time: 30, 'system-out': '[32mLinux version 6' });
});
