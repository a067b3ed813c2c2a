import { expect, test } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { namespacesProblem } from './checks.ts';

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
