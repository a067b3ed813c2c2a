import type { SshKeyPair } from '../../host/ssh.ts';
import type { NodeFile, NodeHandle } from '../types.ts';
import { HOST_KEY, KEYS_IN_MEMORY } from './credentials.ts';

/** Where systemd puts the credential of whoever may log in as root, beside {@link KEYS_IN_MEMORY}: tmpfiles.d(5), provision.conf. */
const KEYS_OF_ROOT = '/root/.ssh/authorized_keys';

/** Names of sshd's unit by distribution; as patterns, which may match nothing. Sessions that there are go on. */
const SSHD = ['ssh.servic[e]', 'sshd.servic[e]'];

/** What a node gets for new keys. */
export function keyFiles(key: SshKeyPair, hostKey: SshKeyPair | undefined): readonly NodeFile[] {
  return [
    { path: KEYS_IN_MEMORY, content: `${key.publicKey}\n`, mode: 0o600 },
    ...(hostKey === undefined
      ? []
      : [
          { path: HOST_KEY, content: hostKey.privateKey.reveal(), mode: 0o600 },
          { path: `${HOST_KEY}.pub`, content: `${hostKey.publicKey}\n`, mode: 0o644 },
        ]),
  ];
}

/** Replaces the keys of a node that runs. @param hostKey undefined for one that makes its own */
export async function renewKeysOf(node: NodeHandle, key: SshKeyPair, hostKey: SshKeyPair | undefined, signal: AbortSignal): Promise<void> {
  await node.write(keyFiles(key, hostKey), signal);
  const replace = 'if [ -e "$1" ]; then printf "%s\\n" "$2" >"$1"; fi';
  await node.run(['sh', '-c', replace, 'sh', KEYS_OF_ROOT, key.publicKey], { signal });
  await node.run(['systemctl', 'try-restart', ...SSHD], { signal });
}
