import { join } from 'node:path';
import { expect, it } from 'vitest';

import { run } from '../../cli/run-kvci.ts';
import { delegatedGroup } from '../../fixtures/delegated-group.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';
import { giveImage, processesOf } from '../../fixtures/users-machines.ts';

/* A whole cluster of a user without rights: the tools image and the engine are the user's own. */

interface Status {
  readonly condition: string;
  readonly nodes: readonly { readonly name: string }[];
}

it.skipIf(isMissing('root', userProblem()))('an ordinary user has a cluster of two nodes, and nothing of it afterwards', async () => {
  const image = await nodeImage('1.36');
  await using user = await ordinaryUser();
  const id = async (flag: string): Promise<number> => Number((await run('id', [flag, user.name])).stdout);
  await using group = await delegatedGroup(await id('-u'), await id('-g'));
  await giveImage(user, image);

  const kvci = (...args: readonly string[]) => user.run([join(user.home, 'kvci/kvci'), ...args], {}, group.enter);
  const up = await kvci('up', 'lab', '--image', image.digest, '--nodes', '2', '--engine', 'embedded');
  expect(up.code, up.stderr).toBe(0);
  const status = await kvci('status', 'lab', '--output', 'json');
  const { condition, nodes } = JSON.parse(status.stdout) as Status;
  expect([condition, nodes.map(({ name }) => name)]).toEqual(['ready', ['node01', 'node02']]);
  expect(await kvci('ssh', 'node02', '--', 'hostname')).toMatchObject({ code: 0, stdout: 'node02\n' });
  const again = await kvci('up', 'lab', '--image', image.digest, '--nodes', '2', '--engine', 'embedded', '--output', 'json');
  expect(JSON.parse(again.stdout)).toMatchObject({ reused: true });
  expect((await kvci('down', 'lab')).code).toBe(0);
  expect(await processesOf(user)).toEqual([]);
  expect(await group.groups()).toEqual([]);
});
