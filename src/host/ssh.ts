import type { Duplex } from 'node:stream';

import type { Secret } from '../core/secrets.ts';
import type { ExecRequest } from './engine/containers.ts';

/** A key pair as OpenSSH writes it. */
export interface SshKeyPair {
  /** The whole file, its final newline included. */
  readonly privateKey: Secret;
  /** One line without a newline, as authorized_keys has it: type, key, comment. */
  readonly publicKey: string;
}

export interface SshTarget {
  /** For errors: `node01`. */
  readonly name: string;
  readonly user: string;
  readonly key: SshKeyPair;
  /**
   * The one host key that is believed, as `publicKey` has it; undefined believes whichever comes first, for a network in which
   * there is nobody else.
   */
  readonly hostKey: string | undefined;
  /** A new way to the server: bytes as they are. */
  open(): Promise<Duplex>;
}

/** An open connection. Any number of commands may run on it, as many at once as the server allows. */
export interface SshConnection extends AsyncDisposable {
  /** False from the moment that it is lost or closed. */
  readonly alive: boolean;
  /** How many commands run on it. */
  readonly busy: number;
  /** Resolves when it is lost or closed. */
  readonly closed: Promise<void>;
  /**
   * Runs a command and answers its exit code; 128 and more for one that was ended by a signal.
   *
   * @throws KvciError `ssh-lost`, `cancelled`: then everything that the command had started has been ended, too
   */
  exec(request: ExecRequest): Promise<number>;
}

export interface Ssh {
  /**
   * @throws KvciError `ssh-unreachable` when nobody answers (yet), `ssh-refused` for a key that is not believed there,
   *   `host-key-differs`, `cancelled`
   */
  connect(target: SshTarget, signal: AbortSignal): Promise<SshConnection>;
  /** A new Ed25519 pair. */
  newKeyPair(comment: string): SshKeyPair;
}
