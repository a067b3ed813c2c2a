import type { ExecRequest } from '../../host/engine/containers.ts';
import type { SshConnection } from '../../host/ssh.ts';

/** Commands at once on one connection: sshd's MaxSessions is 10, and what ends a cancelled command needs a place, too. */
const MOST_COMMANDS = 8;

/** SSH connections to one machine: one is kept, more are made while many commands run at once, a lost one is made anew. */
export class SshSessions implements AsyncDisposable {
  readonly #connect: (signal: AbortSignal) => Promise<SshConnection>;
  #connections: readonly SshConnection[] = [];
  /** Whoever comes while one is being made waits for that one first. */
  #making: Promise<SshConnection> | undefined;

  constructor(connect: (signal: AbortSignal) => Promise<SshConnection>) {
    this.#connect = connect;
  }

  async exec(request: ExecRequest): Promise<number> {
    const connection = await this.connection(request.signal ?? new AbortController().signal);
    return connection.exec(request);
  }

  /** One with room for a command. */
  async connection(signal: AbortSignal): Promise<SshConnection> {
    const free = (): SshConnection | undefined => this.#connections.find(({ alive, busy }) => alive && busy < MOST_COMMANDS);
    await this.#making?.catch(() => undefined);
    const found = free();
    if (found !== undefined) return found;
    this.#making = this.#connect(signal);
    try {
      const made = await this.#making;
      this.#connections = [...this.#connections.filter(({ alive }) => alive), made];
      return made;
    } finally {
      this.#making = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connections = this.#connections;
    this.#connections = [];
    await Promise.all(connections.map((connection) => connection[Symbol.asyncDispose]()));
  }
}
