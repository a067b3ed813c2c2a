import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

import { expect, it } from 'vitest';

import { ownForwards } from '../../../src/machine/container/own-forwards.ts';
import { machinesFolder, testMachines } from '../../fixtures/container-machines.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';

const NEVER = new AbortController().signal;
const TARGET = [{ address: '127.0.0.1', port: 1 }];

it('a forward has the port that is wanted, or another where somebody has that, and keeps it', async () => {
  const tools = await toolsTree();
  await using folder = await machinesFolder(tools);
  await using engine = await (await testMachines(tools, folder.path)).openEngine();
  const forwards = ownForwards(engine, 'ports');
  const other = createServer();
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const instead = await forwards.forward('api', TARGET, NEVER, port);
  expect(instead.port).not.toBe(port);
  other.close();
  await once(other, 'close');
  expect(await forwards.forward('later', TARGET, NEVER, port)).toEqual({ host: '127.0.0.1', port });
  expect(await forwards.forward('api', TARGET, NEVER, port)).toEqual(instead);
  await forwards.remove();
});
