import { randomUUID } from 'node:crypto';
import { addAbortListener, once } from 'node:events';
import { constants } from 'node:os';
import type { Duplex, Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2, { type Client, type ClientChannel } from 'ssh2';

import { cancelled, KvciError, messageOf, throwIfCancelled } from '../../core/errors.ts';
import { Secret } from '../../core/secrets.ts';
import type { ExecRequest } from '../engine/containers.ts';
import { feed, pour } from '../engine/exec-stream.ts';
import { endMarkedArgv, EXEC_MARK } from '../exec-mark.ts';
import { remoteCommand } from '../remote-command.ts';
import type { Ssh, SshConnection, SshTarget } from '../ssh.ts';

/** A deadline for a hang: on an emulated machine that is busy with its boot a handshake takes seconds. */
const HANDSHAKE_MS = 60_000;

/** A machine that says nothing for two minutes is gone; one that is emulated beside others may be silent for half a minute. */
const KEEPALIVE_MS = 15_000;
const KEEPALIVES = 8;

/** How long a command that was ended may take to be over before it is ended again. */
const END_AGAIN_MS = 1000;

/** SSH by the ssh2 library. */
export const ssh2Ssh: Ssh = {
  connect: async (target, signal) => {
    const client = new ssh2.Client();
    // It tells of one failure more than once: the first is the answer, and any other would count as nobody's.
    client.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => void client.once('close', resolve));
    const stream = await open(target, signal);
    // Also where it has aborted meanwhile.
    using _leaving = addAbortListener(signal, () => stream.destroy());
    try {
      await handshake(client, stream, target);
    } catch (error) {
      client.destroy();
      stream.destroy();
      if (signal.aborted) throw cancelled(signal);
      throw error;
    }
    return new Ssh2Connection(client, stream, closed, target.name);
  },
  newKeyPair: (comment) => {
    for (;;) {
      const { private: privateKey, public: publicKey } = ssh2.utils.generateKeyPairSync('ed25519', { comment });
      // ssh2 1.17 writes a public key without zeros at its start: one in 256 is too short, and nobody reads it.
      if (ssh2.utils.parseKey(privateKey) instanceof Error) continue;
      return { privateKey: new Secret(`${privateKey.trimEnd()}\n`), publicKey: publicKey.trim() };
    }
  },
};

async function open(target: SshTarget, signal: AbortSignal): Promise<Duplex> {
  throwIfCancelled(signal);
  try {
    return await target.open();
  } catch (error) {
    throw unreachable(target, error);
  }
}

async function handshake(client: Client, stream: Duplex, target: SshTarget): Promise<void> {
  const { name, user, key, hostKey } = target;
  let shown: string | undefined;
  const ready = once(client, 'ready');
  const lost = once(client, 'close').then(() => {
    throw new Error('the connection was closed');
  });
  client.connect({
    sock: stream,
    username: user,
    privateKey: key.privateKey.reveal(),
    authHandler: ['publickey'],
    readyTimeout: HANDSHAKE_MS,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: KEEPALIVES,
    ...(hostKey === undefined ? {} : { algorithms: { serverHostKey: ['ssh-ed25519'] } }),
    hostVerifier: (bytes: Buffer) => {
      shown = bytes.toString('base64');
      return hostKey === undefined || hostKey.split(' ')[1] === shown;
    },
  });
  try {
    await Promise.race([ready, lost]);
  } catch (error) {
    if (hostKey !== undefined && shown !== undefined && hostKey.split(' ')[1] !== shown) {
      throw new KvciError(
        'failed',
        'host-key-differs',
        `${name} has another host key than the one it was given: it is not what was started`,
        {
          facts: { node: name, expected: hostKey, seen: `ssh-ed25519 ${shown}` },
          cause: error,
        },
      );
    }
    if (isAuthentication(error)) {
      throw new KvciError('failed', 'ssh-refused', `${name} does not let ${user} in by the key that it was given`, {
        hint: 'The image has to take keys from the credential ssh.authorized_keys.root (systemd 252 or newer does).',
        facts: { node: name },
        cause: error,
      });
    }
    throw unreachable(target, error);
  }
}

function isAuthentication(error: unknown): boolean {
  return error instanceof Error && 'level' in error && error.level === 'client-authentication';
}

function unreachable({ name }: SshTarget, cause: unknown): KvciError {
  return new KvciError('failed', 'ssh-unreachable', `${name} does not answer by SSH: ${messageOf(cause)}`, {
    facts: { node: name },
    cause,
  });
}

class Ssh2Connection implements SshConnection {
  readonly closed: Promise<void>;
  readonly #client: Client;
  readonly #stream: Duplex;
  readonly #name: string;
  #alive = true;
  #busy = 0;

  constructor(client: Client, stream: Duplex, closed: Promise<void>, name: string) {
    this.#client = client;
    this.#stream = stream;
    this.#name = name;
    this.closed = closed;
    void closed.then(() => (this.#alive = false));
    for (const event of ['end', 'close']) stream.once(event, () => (this.#alive = false));
  }

  get alive(): boolean {
    return this.#alive;
  }

  get busy(): number {
    return this.#busy;
  }

  async exec(request: ExecRequest): Promise<number> {
    throwIfCancelled(request.signal);
    const signal = request.signal ?? new AbortController().signal;
    const mark = randomUUID();
    this.#busy += 1;
    try {
      const running = await this.#start(request, mark);
      const conversing = this.#converse(running, request);
      let ending: Promise<void> | undefined;
      // Also where it has aborted meanwhile: a busy machine takes seconds to start a command.
      using _leaving = addAbortListener(signal, () => {
        ending = this.#endUntilOver(mark, conversing);
      });
      try {
        const exitCode = await conversing;
        throwIfCancelled(signal);
        return exitCode;
      } finally {
        running.channel.close();
        await ending;
      }
    } catch (error) {
      throw signal.aborted ? cancelled(signal) : error;
    } finally {
      this.#busy -= 1;
    }
  }

  #start(request: ExecRequest, mark: string): Promise<Running> {
    const { terminal, env } = request;
    const line = remoteCommand({ ...request, env: { ...env, [EXEC_MARK]: mark } });
    const pty = terminal === undefined ? {} : { pty: { term: env['TERM'] ?? 'xterm', cols: terminal.columns, rows: terminal.rows } };
    return new Promise((resolve, reject) => {
      if (!this.#alive) {
        reject(this.#lost());
        return;
      }
      const onClose = (): void => reject(this.#lost());
      this.#client.once('close', onClose);
      this.#client.exec(line, pty, (error, channel) => {
        this.#client.off('close', onClose);
        if (error === undefined) resolve(running(channel));
        else reject(this.#lost(error));
      });
    });
  }

  async #converse({ channel, exitCodes, closed }: Running, { stdin, stdout, stderr, onStart }: ExecRequest): Promise<number> {
    onStart?.(({ rows, columns }) => {
      channel.setWindow(rows, columns, 0, 0);
      return Promise.resolve();
    });
    const input = stdin === undefined ? undefined : feed(stdin, channel);
    if (input === undefined) channel.end();
    try {
      await Promise.all([pourAll(channel, stdout), pourAll(channel.stderr, stderr), closed]);
    } finally {
      input?.takeAway();
    }
    input?.throwIfBroken();
    const [exitCode] = exitCodes;
    if (exitCode === undefined) throw this.#lost();
    return exitCode;
  }

  /**
   * Ends a cancelled command: sshd closes nothing as long as it runs. Again until it is over, because one that is just being started
   * does not bear its mark yet.
   */
  async #endUntilOver(mark: string, conversing: Promise<unknown>): Promise<void> {
    const over = conversing.then(
      () => true,
      () => true,
    );
    do await this.#end(mark);
    while (!(await Promise.race([over, sleep(END_AGAIN_MS, false)])));
  }

  /** Whatever is left of a cancelled command; a connection that is lost takes nothing with it, and nothing can be done. */
  async #end(mark: string): Promise<void> {
    const line = remoteCommand({ argv: endMarkedArgv(mark), env: {} });
    await new Promise<void>((resolve) => {
      if (!this.#alive) {
        resolve();
        return;
      }
      this.#client.once('close', resolve);
      this.#client.exec(line, (error: Error | undefined, channel) => {
        if (error !== undefined) resolve();
        else channel.once('close', resolve).resume();
      });
    });
  }

  #lost(cause?: unknown): KvciError {
    return new KvciError('failed', 'ssh-lost', `the SSH connection to ${this.#name} was lost`, {
      hint: 'The machine was stopped or restarted, or hangs.',
      facts: { node: this.#name },
      ...(cause === undefined ? {} : { cause }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#alive = false;
    this.#client.end();
    this.#stream.destroy();
    await this.closed;
  }
}

/** @param name as ssh2 tells it: `SIGTERM`; servers may have signals of their own */
function signalNumber(name = ''): number {
  const signals: Readonly<Record<string, number>> = constants.signals;
  return signals[name] ?? constants.signals.SIGKILL;
}

/** A command that the server has started. */
interface Running {
  readonly channel: ClientChannel;
  /** One, once it has ended and the server has said how. */
  readonly exitCodes: readonly number[];
  readonly closed: Promise<unknown>;
}

/** Listens at once: the end of a short command comes in the same packet as its start. */
function running(channel: ClientChannel): Running {
  const exitCodes: number[] = [];
  channel.on('exit', (code: number | null, signal?: string) => {
    exitCodes.push(code ?? 128 + signalNumber(signal));
  });
  // What the command did not read when it ends is nobody's loss.
  channel.on('error', () => undefined);
  return { channel, exitCodes, closed: once(channel, 'close') };
}

async function pourAll(source: Readable, sink: Writable): Promise<void> {
  for await (const chunk of source as AsyncIterable<Buffer>) await pour(chunk, sink);
}
