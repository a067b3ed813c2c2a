import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { REPOSITORY, run } from '../../cli/run-kvci.ts';
import { copyFromStore, testMachines } from '../../fixtures/container-machines.ts';
import { delegatedGroup } from '../../fixtures/delegated-group.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { userProblem } from '../../fixtures/ordinary-user.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';

const CHILD = 'test/fixtures/machines-user-child.ts';

async function must(file: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(file, args, { cwd: '/' });
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout.trim();
}

it.skipIf(isMissing('root', userProblem()))('an ordinary user has nodes, with subordinate ids and a delegated control group', async () => {
  const image = await nodeImage('1.36');
  const name = `kvci-${randomBytes(4).toString('hex')}`;
  const home = join(tmpdir(), name);
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    await must('userdel', '--force', name);
    await must('rm', '-rf', home);
  });
  await must('useradd', '--create-home', '--home-dir', home, '--shell', '/bin/sh', name);
  const [uid, gid] = [Number(await must('id', '-u', name)), Number(await must('id', '-g', name))];
  const group = stack.use(await delegatedGroup(uid, gid));

  // What the user's own kvci would have made: a checkout, the tools image, the node image.
  const checkout = join(home, 'kvci');
  await must('mkdir', checkout);
  for (const path of ['src', 'test', 'templates', 'node_modules', 'package.json']) await must('cp', '-a', join(REPOSITORY, path), checkout);
  const tools = join(home, 'tools');
  await must('cp', '-a', await toolsTree(), tools);
  const folder = join(home, 'folder');
  const { layout } = await testMachines(tools, folder);
  await copyFromStore(image.store, image.digest, layout);
  await must('chown', '-R', `${name}:`, home);

  const environment = ['env', '--ignore-environment', `--chdir=${home}`, `HOME=${home}`, `PATH=${process.env['PATH'] ?? ''}`];
  const child = [process.execPath, join(checkout, CHILD), tools, folder, image.digest];
  const [enter, ...args] = [...group.enter, 'runuser', '--user', name, '--', ...environment, ...child];
  const { code, stdout, stderr } = await run(enter, args, { cwd: '/' });
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    uid,
    booted: ['running', 'running'],
    forwarded: expect.stringMatching(/^SSH-/) as string,
    seen: expect.stringContaining('node01') as string,
    left: [],
  });
  expect((await run('pgrep', ['-u', name])).stdout).toBe('');
  expect(await group.groups()).toEqual([]);
});
