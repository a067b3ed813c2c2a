import { join } from 'node:path';
import { expect, it } from 'vitest';

import type { BuiltDisk } from '../../../src/cli/services.ts';
import type { VerifyReport } from '../../../src/verify/types.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';
import { giveImage, openTun, processesOf } from '../../fixtures/users-machines.ts';

it.skipIf(isMissing('root', userProblem()))('an ordinary user makes a disk and verifies it in every network', async () => {
  const image = await nodeImage('1.31');
  await using _tun = await openTun();
  await using user = await ordinaryUser();
  await giveImage(user, image);
  const kvci = (...args: readonly string[]) => user.run([join(user.home, 'kvci/kvci'), ...args, '--output', 'json']);

  const built = await kvci('disk', 'build', image.digest);
  expect(built.code, built.stderr).toBe(0);
  expect((JSON.parse(built.stdout) as BuiltDisk).path.startsWith(user.home)).toBe(true);
  const verified = await kvci('image', 'verify', image.digest);
  const { facts, network } = JSON.parse(verified.stdout) as VerifyReport;
  expect([...facts, ...network].filter(({ status }) => status !== 'passed')).toEqual([]);
  expect(verified.code, verified.stderr).toBe(0);
  expect(network).toHaveLength(5);
  expect(await processesOf(user)).toEqual([]);
});
