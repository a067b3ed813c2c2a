import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { VerifyReport } from '../../../src/verify/types.ts';
import { kvci, type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { nodeDisk } from '../../fixtures/vms.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let image: string;
let digest: string;

const here = (...args: readonly string[]): Promise<Run> => kvci(args, { cwd: folder.path });

beforeAll(async () => {
  folder = await temporaryFolder();
  image = (await nodeImage('1.31')).digest;
  digest = image.slice('sha256:'.length);
});

afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

interface Statement {
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicate: { readonly result: string; readonly passedTests: readonly string[]; readonly failedTests: readonly string[] };
}

async function statement(name: string): Promise<Statement> {
  return JSON.parse(await readFile(join(folder.path, name), 'utf8')) as Statement;
}

describe('as a machine', () => {
  it('every fact holds, and the addresses come in every network; the report is a statement over the digests', async () => {
    const run = await here('image', 'verify', image, '--output', 'json', '--report', 'machine.json');
    const report = JSON.parse(run.stdout) as VerifyReport;
    expect([...report.facts, ...report.network].filter(({ status }) => status !== 'passed')).toEqual([]);
    expect(run.code, run.stderr).toBe(0);
    expect(report.network.map(({ name, addresses }) => ({ name, addresses: addresses.toSorted() }))).toEqual([
      { name: 'dual-stack', addresses: ['192.168.66.101', 'fd00::101'] },
      { name: 'ipv4-only', addresses: ['192.168.66.101'] },
      { name: 'ipv6-only', addresses: ['fd00::101'] },
      { name: 'no-router-advertisements', addresses: ['192.168.66.101'] },
      { name: 'slow-dhcp', addresses: ['192.168.66.101', 'fd00::101'] },
    ]);
    const slow = report.network.find(({ name }) => name === 'slow-dhcp')?.seconds;
    expect(slow?.ipv4).toBeGreaterThan(20);
    expect(slow?.ipv6).toBeGreaterThan(20);
    const { subject, predicate } = await statement('machine.json');
    expect(subject.map(({ digest: { sha256 } }) => sha256)).toEqual([report.subject.disk?.digest.slice('sha256:'.length), digest]);
    expect(predicate).toMatchObject({ result: 'PASSED', failedTests: [] });
    expect(predicate.passedTests).toContain('network/ipv6-only');
  });
});

describe('a disk by its path', () => {
  it('is asked what somebody expects of it; what does not hold is told for CI', async () => {
    const disk = (await nodeDisk('1.31')).path;
    const facts = [
      'skip: {ipv6-only: not here, no-router-advertisements: not here, slow-dhcp: not here}',
      'sysctls: {vm.swappiness: 10}',
      'seconds: {ssh: 1}',
      'facts: [{id: deployed, title: ostree deployed it, run: [ostree, admin, status], matches: kvci, file: /usr/bin/ostree}]',
    ];
    await writeFile(join(folder.path, 'ours.yaml'), facts.join('\n'));
    const { code, stdout, stderr } = await here(
      'image',
      'verify',
      disk,
      '--facts',
      'ours.yaml',
      '--output',
      'junit',
      '--report',
      'disk.json',
    );
    expect(code, stderr).toBe(1);
    // The sysctl, and both networks, in which SSH answers later than that.
    expect(stdout).toMatch(/<testsuites name="[^"]+" tests="\d+" failures="3" errors="0" skipped="3"/);
    const { subject, predicate } = await statement('disk.json');
    // Nothing is known of an image.
    expect(subject).toHaveLength(1);
    expect(predicate).toMatchObject({ result: 'FAILED', failedTests: ['sysctls', 'network/dual-stack', 'network/ipv4-only'] });
    expect(predicate.passedTests).toContain('deployed');
    expect(predicate.passedTests).toContain('disk-size');
  });
});

describe('as a container', () => {
  const verified = (...more: readonly string[]): Promise<Run> => here('image', 'verify', image, '--as', 'container', ...more);

  it('every fact of containers holds', async () => {
    const run = await verified('--output', 'json', '--report', 'container.json');
    const report = JSON.parse(run.stdout) as VerifyReport;
    expect(report.facts.filter(({ status }) => status !== 'passed')).toEqual([]);
    expect(run.code, run.stderr).toBe(0);
    expect((await statement('container.json')).subject).toEqual([{ name: image, digest: { sha256: digest } }]);
    expect((await here('cache', 'list')).code).toBe(0);
  });

  it('what is not as somebody expects is told in words and for CI', async () => {
    const facts =
      'units: {kubelet.service: active}\nfacts: [{id: motd, title: a greeting, run: [cat, /etc/motd], file: /etc/motd, exitCode: 3}]\n';
    await writeFile(join(folder.path, 'facts.yaml'), facts);
    const text = await verified('--facts', 'facts.yaml');
    expect(text.code).toBe(1);
    expect(text.stdout).toContain('expected: kubelet.service is active\n        seen:     inactive\n');
    expect(text.stdout).toContain('file:     /etc/motd\n');
    const junit = await verified('--facts', 'facts.yaml', '--output', 'junit');
    expect(junit.code).toBe(1);
    expect(junit.stdout).toMatch(/<testsuites name="sha256:[0-9a-f]+" tests="\d+" failures="2" errors="0" skipped="0"/);
  });
});

it('what cannot be verified says why', async () => {
  await writeFile(join(folder.path, 'empty.qcow2'), '');
  const empty = await here('image', 'verify', 'empty.qcow2', '--output', 'json');
  expect(JSON.parse(empty.stdout)).toMatchObject({ error: { code: 'bad-disk' } });
  const elsewhere = await here('image', 'verify', 'nowhere.qcow2', '--output', 'json');
  expect(JSON.parse(elsewhere.stdout)).toMatchObject({ error: { code: 'disk-not-found', exitCode: 5 } });
});
