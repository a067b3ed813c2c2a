import { Buffer } from 'node:buffer';

import type { SshKeyPair } from '../../host/ssh.ts';

/** Where nodes made by kvci look for keys beside those of the disk (templates/node/common/etc/ssh/sshd_config.d/10-kvci.conf). */
export const KEYS_IN_MEMORY = '/run/kvci/authorized_keys';

export const HOST_KEY = '/etc/ssh/ssh_host_ed25519_key';

export interface MachineIdentity {
  readonly hostname: string;
  /** What the machine is to prove itself by; undefined lets it make its own, at its first boot. */
  readonly hostKey: SshKeyPair | undefined;
  /** Who may log in as root, a line of authorized_keys each. */
  readonly authorizedKeys: readonly string[];
}

/**
 * What a machine is told at boot, as credentials of systemd (systemd.system-credentials(7)): every systemd since 252 takes them
 * from QEMU's fw_cfg, whatever made the disk. Names and contents.
 *
 * Host keys go by `tmpfiles.extra`, whose lines systemd-tmpfiles-setup writes before any service starts: nothing waits, and a
 * machine has the key that it was given also when its disk brought one.
 */
export function machineCredentials({ hostname, hostKey, authorizedKeys }: MachineIdentity): ReadonlyMap<string, string> {
  const keys = authorizedKeys.map((key) => `${key}\n`).join('');
  const files = [
    ...(hostKey === undefined
      ? []
      : [tmpfile(HOST_KEY, '0600', hostKey.privateKey.reveal()), tmpfile(`${HOST_KEY}.pub`, '0644', `${hostKey.publicKey}\n`)]),
    tmpfile(KEYS_IN_MEMORY, '0600', keys),
  ];
  return new Map([
    ['system.hostname', hostname],
    // Taken by images that are not kvci's, where the disk has no keys of its own.
    ['ssh.authorized_keys.root', keys],
    ['tmpfiles.extra', files.join('')],
  ]);
}

/** A line of tmpfiles.d(5) that writes a file, whatever was there: `~` says that the content is in Base64. */
function tmpfile(path: string, mode: string, content: string): string {
  return `f+~ ${path} ${mode} root root - ${Buffer.from(content).toString('base64')}\n`;
}
