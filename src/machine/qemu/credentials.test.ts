import { Buffer } from 'node:buffer';
import { expect, it } from 'vitest';

import { Secret } from '../../core/secrets.ts';
import { machineCredentials } from './credentials.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const hostKey = { privateKey: new Secret('PRIVATE\n'), publicKey: 'ssh-ed25519 AAAA node01' };

it('a machine is told its name, its host key and who may come in', () => {
  expect(
    Object.fromEntries(machineCredentials({ hostname: 'node01', hostKey, authorizedKeys: ['ssh-ed25519 BBBB a', 'ssh-ed25519 CCCC b'] })),
  ).toEqual({
    'system.hostname': 'node01',
    'ssh.authorized_keys.root': 'ssh-ed25519 BBBB a\nssh-ed25519 CCCC b\n',
    'tmpfiles.extra': [
      `f+~ /etc/ssh/ssh_host_ed25519_key 0600 root root - ${base64('PRIVATE\n')}\n`,
      `f+~ /etc/ssh/ssh_host_ed25519_key.pub 0644 root root - ${base64('ssh-ed25519 AAAA node01\n')}\n`,
      `f+~ /run/kvci/authorized_keys 0600 root root - ${base64('ssh-ed25519 BBBB a\nssh-ed25519 CCCC b\n')}\n`,
    ].join(''),
  });
});

it('without a host key it makes its own', () => {
  const extra = machineCredentials({ hostname: 'node01', hostKey: undefined, authorizedKeys: [] }).get('tmpfiles.extra');
  expect(extra).toBe('f+~ /run/kvci/authorized_keys 0600 root root - \n');
});
