import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { BuiltImage } from '../../../src/cli/services.ts';
import type { CheckReport } from '../../../src/image/check/types.ts';
import { kvci, type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { type OrdinaryUser, ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';

const TAG = 'localhost/kvci-test/node:two-users';
/** For a hang. Everything is compiled from nothing: minutes on two free cores, an hour where others have them. */
const COLD_BUILD_MS = 90 * 60_000;

const BUILD = ['image', 'build', '--k8s', '1.36', '--payload', 'modules', '--engine', 'embedded', '--tag', TAG, '--output', 'json'];

function answer(run: Run): unknown {
  expect(run.code, run.stderr).toBe(0);
  return JSON.parse(run.stdout);
}

/** Everything differs but the lock: user, rights, home, folder, caches (all empty, Go's too), umask, time zone and language. */
describe.skipIf(isMissing('user', userProblem()))('the same lock, another user', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let user: OrdinaryUser;
  let ours: BuiltImage;

  const theirs = (...argv: readonly string[]): Promise<Run> =>
    user.run(['sh', '-c', 'umask 077; exec "$@"', 'sh', ...argv], { TZ: 'Asia/Tokyo', LANG: 'C' });
  const theirKvci = (...args: readonly string[]): Promise<Run> => theirs('kvci/kvci', ...args);

  beforeAll(async () => {
    folder = await temporaryFolder();
    ours = answer(await kvci(BUILD, { cwd: folder.path })) as BuiltImage;
    user = await ordinaryUser();
    await copyFile(join(folder.path, 'kvci.lock'), join(user.home, 'kvci.lock'));
  });

  afterAll(async () => {
    await kvci(['image', 'rm', TAG], { cwd: folder.path });
    await user[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  it(
    'gives the same image, built without rights from empty caches',
    async () => {
      const built = answer(await theirKvci(...BUILD, '--locked')) as BuiltImage;
      expect(built).toEqual({ ...ours, lockFile: join(user.home, 'kvci.lock'), reused: false });
      const report = answer(await theirKvci('image', 'check', TAG, '--output', 'json')) as CheckReport;
      expect(report.passed).toBe(true);
    },
    COLD_BUILD_MS,
  );

  it('gives the same layers on a single core', async () => {
    const again = await theirs('taskset', '--cpu-list', '0', 'kvci/kvci', ...BUILD, '--locked', '--no-cache', '--offline');
    expect((answer(again) as BuiltImage).digest).toBe(ours.digest);
  });

  it('leaves a cache that its owner can remove', async () => {
    const pruned = await theirKvci('cache', 'prune', '--keep', '0');
    expect(pruned.code, pruned.stderr).toBe(0);
    const left = answer(await theirKvci('cache', 'list', '--output', 'json')) as { readonly entries: readonly unknown[] };
    expect(left.entries).toEqual([]);
  });
});
