import { throwIfCancelled } from '../../core/errors.ts';
import type { ExecRequest } from '../../host/engine/containers.ts';
import type { SshConnection } from '../../host/ssh.ts';

/** Commands at once on one connection: sshd's MaxSessions is 10, and what ends a cancelled command needs a place, too. */
const MOST_COMMANDS = 8;

interface Session {
  readonly connection: SshConnection;
  /** How many commands have a place on it. */
  commands: number;
}

/** SSH connections to one machine: one is kept, more are made while many commands run at once, a lost one is made anew. */
export class SshSessions implements AsyncDisposable {
  readonly #connect: (signal: AbortSignal) => Promise<SshConnection>;
  #sessions: readonly Session[] = [];
  /** One at a time: whoever comes while one is being made waits for that one first. */
  #making: Promise<void> | undefined;

  constructor(connect: (signal: AbortSignal) => Promise<SshConnection>) {
    this.#connect = connect;
  }

  /** @throws KvciError as connecting, and as the command */
  async exec(request: ExecRequest): Promise<number> {
    const session = await this.#place(request.signal ?? new AbortController().signal);
    try {
      return await session.connection.exec(request);
    } finally {
      session.commands -= 1;
    }
  }

  /** Connects, unless there is a connection with room. @throws KvciError as connecting */
  async ready(signal: AbortSignal): Promise<void> {
    (await this.#place(signal)).commands -= 1;
  }

  async #place(signal: AbortSignal): Promise<Session> {
    for (;;) {
      throwIfCancelled(signal);
      const found = this.#sessions.find(({ connection, commands }) => connection.alive && commands < MOST_COMMANDS);
      if (found !== undefined) {
        found.commands += 1;
        return found;
      }
      if (this.#making === undefined) {
        await this.#make(signal);
      } else {
        // Whether somebody else's attempt was given up or failed says nothing of ours.
        await this.#making.catch(() => undefined);
      }
    }
  }

  async #make(signal: AbortSignal): Promise<void> {
    this.#making = this.#connect(signal).then((connection) => {
      this.#sessions = [...this.#sessions.filter((session) => session.connection.alive), { connection, commands: 0 }];
    });
    try {
      await this.#making;
    } finally {
      this.#making = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const sessions = this.#sessions;
    this.#sessions = [];
    await Promise.all(sessions.map(({ connection }) => connection[Symbol.asyncDispose]()));
  }
}
