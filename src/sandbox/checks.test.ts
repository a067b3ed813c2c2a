import { describe, expect, test } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { hostCommands } from '../host/adapters/execa-commands.ts';
import { systemClock } from '../host/clock.ts';
import { runChecks } from '../host/host-report.ts';
import { namespacesProblem, sandboxChecks } from './checks.ts';
import { chooseToolsWay, type ToolsHost } from './tools-choice.ts';

const error = new KvciError('failed', 'command-failed', 'unshare failed');

test.each([
  [{ 'kernel.apparmor_restrict_unprivileged_userns': '1' }, [['sysctl', '-w', 'kernel.apparmor_restrict_unprivileged_userns=0']]],
  [
    { 'kernel.unprivileged_userns_clone': '0', 'user.max_user_namespaces': '0' },
    [
      ['sysctl', '-w', 'kernel.unprivileged_userns_clone=1'],
      ['sysctl', '-w', 'user.max_user_namespaces=15000'],
    ],
  ],
  [{ 'kernel.unprivileged_userns_clone': '1', 'user.max_user_namespaces': '96000' }, undefined],
  [{}, undefined],
])('settings %j are mended by %j', (settings, commands) => {
  const problem = namespacesProblem(new Map(Object.entries(settings)), { uid: 1001 }, error);
  expect(problem).toMatchObject({ level: 'error', error });
  expect(problem.commands).toEqual(commands);
});

describe('the tools image', () => {
  const nothing: ToolsHost = { mmdebstrap: () => Promise.resolve(undefined), engine: () => Promise.resolve(undefined) };
  const check = async (kind: 'auto' | 'engine', host: Partial<ToolsHost>) => {
    const commands = hostCommands(() => undefined, systemClock);
    const checks = sandboxChecks(commands, { uid: 0, gid: 0, name: 'root' }, () => chooseToolsWay({ kind }, { ...nothing, ...host }));
    return (await runChecks(checks, 'apt')).find(({ id }) => id === 'tools-image');
  };

  test('is well where something makes it, and says what', async () => {
    expect(await check('auto', { engine: () => Promise.resolve('docker 28') })).toMatchObject({
      status: 'ok',
      message: 'built by docker 28: mmdebstrap is not installed',
    });
  });

  test('asks for mmdebstrap where nothing does', async () => {
    const result = await check('auto', {});
    expect(result).toMatchObject({ status: 'error', message: expect.stringMatching(/no container engine runs$/) as string });
    expect(result?.commands.at(-1)).toEqual(expect.arrayContaining(['mmdebstrap', 'debian-archive-keyring']));
    expect(await check('engine', {})).toMatchObject({ status: 'error', commands: [] });
  });

  test('says why it cannot be known', async () => {
    const engine = (): Promise<never> => Promise.reject(new KvciError('hostNotReady', 'engine-unreachable', 'DOCKER_HOST does not answer'));
    expect(await check('auto', { engine })).toMatchObject({
      status: 'error',
      message: 'cannot check tools image: DOCKER_HOST does not answer',
    });
  });
});
