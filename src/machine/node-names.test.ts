import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { temporaryFolder } from '../../test/cli/run-kvci.ts';
import { KvciError } from '../core/errors.ts';
import { hostCommands } from '../host/adapters/execa-commands.ts';
import { systemClock } from '../host/clock.ts';
import type { NodeAddresses, NodeHandle } from './types.ts';
import { hostsLines, NodeNames } from './node-names.ts';

const NEVER = new AbortController().signal;

it('names of nodes as hosts(5) has them, in their order', () => {
  const nodes = [
    { name: 'node02', addresses: { ipv4: '10.89.0.12' } },
    { name: 'node01', addresses: { ipv4: '10.89.0.11', ipv6: 'fd00::11' } },
  ];
  expect(hostsLines(nodes)).toBe('10.89.0.11 node01 # kvci\nfd00::11 node01 # kvci\n10.89.0.12 node02 # kvci\n');
});

/** A node whose /etc/hosts and /run are in a folder; its commands run here. */
function nodeIn(folder: string, name: string, addresses: NodeAddresses, alive = (): boolean => true): NodeHandle {
  const commands = hostCommands(() => undefined, systemClock);
  return {
    name,
    addresses,
    where: name,
    run: ([shell, option = '', script = '', ...words], options) => {
      if (!alive()) throw new KvciError('failed', 'ssh-lost', `${name} is gone`);
      const here = script.replaceAll('/etc/hosts', join(folder, name)).replaceAll('/run/', `${folder}/${name}-`);
      return commands.run([shell, option, here, ...words], options);
    },
  } as NodeHandle;
}

it('every node knows all that were started, keeps what else stands there, and forgets who is gone', async () => {
  const folder = await temporaryFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const hosts = (name: string): Promise<string> => readFile(join(folder.path, name), 'utf8');
  for (const name of ['node01', 'node02', 'node03']) await writeFile(join(folder.path, name), '127.0.0.1 localhost\n');
  const names = new NodeNames();
  let alive = true;
  const first = nodeIn(folder.path, 'node01', { ipv4: '10.0.0.11' });
  const second = nodeIn(folder.path, 'node02', { ipv4: '10.0.0.12', ipv6: 'fd00::12' }, () => alive);
  await Promise.all([names.add(first, NEVER), names.add(second, NEVER)]);
  const both = '127.0.0.1 localhost\n10.0.0.11 node01 # kvci\n10.0.0.12 node02 # kvci\nfd00::12 node02 # kvci\n';
  expect(await hosts('node01')).toBe(both);
  expect(await hosts('node02')).toBe(both);
  const dead = (): Promise<NodeHandle> => Promise.reject(new KvciError('failed', 'ssh-lost', 'node04 is gone'));
  await names.gone('node02', [() => Promise.resolve(first), dead]);
  expect(await hosts('node01')).toBe('127.0.0.1 localhost\n10.0.0.11 node01 # kvci\n');
  alive = false;
  names.forget('node01');
  await names.add(nodeIn(folder.path, 'node03', { ipv4: '10.0.0.13' }), NEVER);
  expect(await hosts('node03')).toBe('127.0.0.1 localhost\n10.0.0.12 node02 # kvci\nfd00::12 node02 # kvci\n10.0.0.13 node03 # kvci\n');
  await expect(names.add(second, NEVER)).rejects.toMatchObject({ code: 'ssh-lost' });
});
