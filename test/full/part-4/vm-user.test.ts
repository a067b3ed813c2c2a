import { join } from 'node:path';
import { expect, it } from 'vitest';

import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';
import { giveImage, openTun, processesOf } from '../../fixtures/users-machines.ts';

/*
 * A cluster of virtual machines of a user without rights, with IPv6 only (see vm-cluster.test.ts): the contract is run by the user, in
 * test/fixtures/as-user.
 */

const HANG_MS = 40 * 60_000;

it.skipIf(isMissing('root', userProblem()))('an ordinary user has a cluster of virtual machines that keeps the contract', async () => {
  const image = await nodeImage('1.36');
  await using _tun = await openTun();
  await using user = await ordinaryUser();
  await giveImage(user, image);
  const checkout = join(user.home, 'kvci');
  const limits = ['--testTimeout', '--hookTimeout'].flatMap((limit) => [limit, String(HANG_MS)]);
  const suite = ['--root', join(checkout, 'test/fixtures/as-user'), '--reporter', 'verbose'];
  const { code, stdout, stderr } = await user.run(
    [process.execPath, join(checkout, 'node_modules/vitest/vitest.mjs'), 'run', ...suite, ...limits],
    { KVCI_TEST_IMAGE: image.digest },
  );
  expect(code, `${stdout}\n${stderr}`).toBe(0);
  expect(await processesOf(user)).toEqual([]);
});
