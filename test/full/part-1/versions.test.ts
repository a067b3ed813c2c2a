import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { BuiltImage } from '../../../src/cli/services.ts';
import type { CheckReport } from '../../../src/image/check/types.ts';
import { kvci, type Run, temporaryFolder } from '../../cli/run-kvci.ts';

function answer(run: Run): unknown {
  expect(run.code, run.stderr).toBe(0);
  return JSON.parse(run.stdout);
}

/** Nothing in this repository names these minors but tests: what makes a version is data. */
describe.each(['1.31', '1.35'])('Kubernetes %s', (minor) => {
  const tag = `localhost/kvci-test/node:${minor}`;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;

  beforeAll(async () => {
    folder = await temporaryFolder();
  });

  afterAll(async () => {
    await kvci(['image', 'rm', tag]);
    await folder[Symbol.asyncDispose]();
  });

  it('is built from modules within the bounds of size, and all facts hold', async () => {
    const build = ['image', 'build', '--k8s', minor, '--payload', 'modules', '--engine', 'embedded', '--tag', tag, '--output', 'json'];
    const built = answer(await kvci(build, { cwd: folder.path })) as BuiltImage;
    expect(built.kubernetes.startsWith(`${minor}.`)).toBe(true);
    expect(built.size.unpacked).toBeLessThanOrEqual(1e9);
    expect(built.size.compressed).toBeLessThanOrEqual(350e6);
    const report = answer(await kvci(['image', 'check', tag, '--output', 'json'])) as CheckReport;
    expect(report.facts.filter(({ status }) => status !== 'passed')).toEqual([]);
  });
});
