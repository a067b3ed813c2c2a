import { expect, test } from 'vitest';

import { KvciError, ProblemsError } from '../core/errors.ts';
import { applyFixes, notReady, runChecks } from './host-report.ts';
import type { CommandRunner, HostCheck, HostProblem } from './types.ts';

function check(id: string, problem?: HostProblem, found?: string): HostCheck {
  return {
    id,
    title: `the ${id}`,
    run: () => Promise.resolve(problem),
    ...(found === undefined ? {} : { found: () => Promise.resolve(found) }),
  };
}

const broken: HostCheck = { id: 'broken', title: 'the broken', run: () => Promise.reject(new KvciError('failed', 'x', 'no /proc')) };
const go: HostProblem = { level: 'error', message: 'no Go', packages: { apt: ['golang-go'], dnf: ['golang'] } };
const slow: HostProblem = { level: 'warning', message: 'no KVM', commands: [['modprobe', 'kvm']] };
const dnfGo = ['dnf', 'install', '--assumeyes', '--setopt=install_weak_deps=False', 'golang'];

test('all checks run, each once, and each tells what mends it', async () => {
  const results = await runChecks(
    [check('a'), check('b', undefined, 'b 1.2'), check('go', go), check('kvm', slow), check('go', slow), broken],
    'dnf',
  );
  expect(results).toEqual([
    { id: 'a', title: 'the a', status: 'ok', commands: [] },
    { id: 'b', title: 'the b', status: 'ok', commands: [], message: 'b 1.2' },
    { id: 'go', title: 'the go', status: 'error', message: 'no Go', commands: [dnfGo], problem: go },
    { id: 'kvm', title: 'the kvm', status: 'warning', message: 'no KVM', commands: [['modprobe', 'kvm']], problem: slow },
    expect.objectContaining({ id: 'broken', status: 'error', message: 'cannot check the broken: no /proc', commands: [] }),
  ]);
});

test('names the packages where no package manager is known', async () => {
  const [result] = await runChecks([check('go', go)], undefined);
  expect(result).toMatchObject({ message: 'no Go (packages golang-go or what they are called here)', commands: [] });
});

test('errors keep a command from starting, warnings do not', async () => {
  expect(notReady(await runChecks([check('a'), check('kvm', slow)], 'dnf'))).toBeUndefined();
  const error = notReady(await runChecks([check('go', go), check('kvm', slow), broken], 'dnf'));
  expect(error).toBeInstanceOf(ProblemsError);
  expect(error).toMatchObject({ code: 'host-not-ready', exitCode: 3 });
  expect((error as ProblemsError).problems.map(({ message, hint }) => [message, hint])).toEqual([
    ['no Go', `Run as root:\n  ${dnfGo.join(' ')}`],
    ['cannot check the broken: no /proc', undefined],
  ]);
});

test('root mends: all commands are shown, then run in order', async () => {
  const log: string[] = [];
  const commands: CommandRunner = {
    where: 'host',
    run: (argv, options) => {
      log.push(`run ${argv.join(' ')}`);
      options?.onLine?.('a line', 'stdout');
      return argv[0] === 'bad'
        ? Promise.reject(new KvciError('failed', 'command-failed', 'it failed'))
        : Promise.resolve({ argv, exitCode: 0, stdout: '', stderr: '', ms: 1 });
    },
  };
  const run = { commands, uid: 0, onCommand: (line: string) => log.push(`show ${line}`), onLine: (line: string) => log.push(line) };
  expect(await applyFixes([['one', 'a b'], ['two']], run)).toEqual(["one 'a b'", 'two']);
  expect(log).toEqual(["show one 'a b'", 'show two', 'run one a b', 'a line', 'run two', 'a line']);
  await expect(applyFixes([['bad'], ['never']], run)).rejects.toMatchObject({ code: 'command-failed' });
  expect(log).not.toContain('run never');
});

test('an ordinary user is told what root has to run; nothing runs', async () => {
  const commands: CommandRunner = { where: 'host', run: () => Promise.reject(new Error('must not run')) };
  const run = { commands, uid: 1000, onCommand: () => undefined };
  await expect(applyFixes([['apt-get', 'update']], run)).rejects.toMatchObject({
    code: 'needs-root',
    exitCode: 3,
    hint: 'Have root run once:\n  apt-get update',
  });
  expect(await applyFixes([], run)).toEqual([]);
});
