import { join } from 'node:path';
import { expect, it } from 'vitest';

import { run } from '../../cli/run-kvci.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { openTun, processesOf } from '../../fixtures/users-machines.ts';
import { nodeDisk } from '../../fixtures/vms.ts';

async function must(file: string, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(file, args, { cwd: '/' });
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}: ${stderr}`);
}

it.skipIf(isMissing('root', userProblem()))('an ordinary user has virtual machines, in a user namespace', async () => {
  const disk = await nodeDisk('1.31');
  await using stack = new AsyncDisposableStack();
  stack.use(await openTun());
  const user = stack.use(await ordinaryUser());
  const { home } = user;

  // What the user's own kvci would have made: the tools image and a disk.
  const tools = join(home, 'tools');
  await must('cp', '-a', await toolsTree(), tools);
  await must('mkdir', join(home, 'disk'));
  const { kernel = '', initramfs = '', arguments: kernelArguments = '' } = disk.directBoot ?? {};
  await must('cp', disk.path, kernel, initramfs, join(home, 'disk'));
  await must('chown', '-R', `${user.name}:`, home);
  const own = [disk.path, kernel, initramfs].map((path) => join(home, 'disk', path.split('/').at(-1) ?? ''));

  const child = join(home, 'kvci/test/fixtures/vm-user-child.ts');
  const { code, stdout, stderr } = await user.run([process.execPath, child, tools, join(home, 'vms'), ...own, kernelArguments]);
  expect(code, stderr).toBe(0);
  const said = JSON.parse(stdout) as { readonly uid: number; readonly stdout: string };
  expect(said.uid).toBeGreaterThan(0);
  expect(said.stdout).toMatch(/^node01\n[^]*192\.168\.66\.101\/24 [^]*fd00::101\/128/);
  expect(await processesOf(user)).toEqual([]);
});
