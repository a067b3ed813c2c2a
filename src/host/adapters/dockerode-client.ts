import Docker from 'dockerode';
import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import pRetry from 'p-retry';
import type { Readable } from 'node:stream';

import { cancelled, KvciError, messageOf } from '../../core/errors.ts';
import type { StreamOutcome } from '../engine/build-stream.ts';
import { type EngineEndpoint, otherHost } from '../engine/endpoint.ts';
import { engineLost, engineUnreachable, isConnectionLost, refusalOf, requestFailed } from '../engine/errors.ts';
import { watchedAgent } from '../engine/watched-agent.ts';
import type { EngineInfo } from '../types.ts';

/** An engine on this host answers a ping in milliseconds. */
const PING_MS = 5_000;

/** One of another host is behind a network, and a Podman that nobody has asked lately starts first. */
const FAR_PING_MS = 30_000;

/** A deadline for a hang: an engine that is busy with large images takes seconds to tell about itself. */
export const ANSWER_MS = 120_000;

const CLEANED_RETRIES = 4;

export type { Docker };

type ClientOptions = Docker.DockerOptions & { readonly agent?: HttpAgent };

/** The library takes a signal here; its published types do not say so, and claim more of the answers than engines give. */
interface Questions {
  ping(options: { readonly abortSignal: AbortSignal }): Promise<unknown>;
  version(options: { readonly abortSignal: AbortSignal }): Promise<EngineVersion>;
  info(options: { readonly abortSignal: AbortSignal }): Promise<{ readonly SecurityOptions?: readonly string[] | null }>;
}

interface EngineVersion {
  readonly Version: string;
  readonly Arch: string;
  readonly Components?: readonly { readonly Name: string }[] | null;
}

/** The library's client of an engine that has answered, and how requests to it fail. */
export class EngineClient {
  readonly docker: Docker;
  readonly info: EngineInfo;
  /** The host that the engine is on, for people, where that is another than this one. */
  readonly host: string | undefined;
  /** What the engine's security options name: `rootless`, `userns`... */
  readonly security: ReadonlySet<string>;

  /** @internal use {@link openClient} */
  constructor(docker: Docker, info: EngineInfo, host: string | undefined, security: ReadonlySet<string>) {
    this.docker = docker;
    this.info = info;
    this.host = host;
    this.security = security;
  }

  /** For errors: `docker, DOCKER_HOST`. */
  get where(): string {
    return `${this.info.name}, ${this.info.origin}`;
  }

  /**
   * Sends a request. `doing` says what was asked, for errors.
   *
   * @throws KvciError `cancelled`, `engine-lost`, `engine-request-failed` with the HTTP status among its facts
   */
  async ask<T>(doing: string, signal: AbortSignal, request: (signal: AbortSignal) => Promise<T>, body?: Readable): Promise<T> {
    try {
      signal.throwIfAborted();
      return await request(signal);
    } catch (error) {
      this.rethrowLost(error, signal, undefined, body);
      const refusal = refusalOf(error);
      throw refusal === undefined ? error : requestFailed(doing, refusal.message, refusal.status);
    }
  }

  /** A request that an engine answers soon, and that has to be made also after Ctrl-C. */
  soon<T>(doing: string, request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.ask(doing, AbortSignal.timeout(ANSWER_MS), request);
  }

  /** A request after which something is gone, done or no longer needed; `settled` are further statuses that say so. */
  async gone(doing: string, request: (signal: AbortSignal) => Promise<unknown>, ...settled: readonly number[]): Promise<void> {
    await this.soon(doing, request).catch((error: unknown) => {
      if (![404, ...settled].some((status) => status === statusOf(error))) throw error;
    });
  }

  /** Ends a container by force and removes it with its anonymous volumes; one that is gone is gone. */
  async removeContainer(idOrName: string): Promise<void> {
    const container = this.docker.getContainer(idOrName);
    // Podman would ask a running one to stop first, and wait; one that does not run is not killed (409).
    await this.gone(`kill container ${idOrName}`, (abortSignal) => container.kill({ signal: 'KILL', abortSignal }), 409);
    // The engine may be about to remove it by itself (409): gone is what it has to be.
    const remove = (abortSignal: AbortSignal): Promise<unknown> =>
      container.remove({ force: true, v: true, abortSignal }).catch(async (error: unknown) => {
        if (refusalOf(error)?.status !== 409) throw error;
        await container.wait({ condition: 'removed', abortSignal });
      });
    await this.gone(`remove container ${idOrName}`, (signal) =>
      pRetry(() => remove(signal), {
        signal,
        retries: CLEANED_RETRIES,
        minTimeout: 200,
        shouldRetry: ({ error }) => isBeingCleaned(error),
      }),
    );
  }

  /** Throws for a cancelled request, a failed body and a connection that broke; other errors are the caller's. */
  rethrowLost(error: unknown, signal: AbortSignal, outcome?: StreamOutcome, body?: Readable): void {
    if (signal.aborted) throw cancelled(signal);
    // The body's own failure ends the request: the cause is told, not its effect.
    if (body?.errored) throw body.errored;
    if (isConnectionLost(error)) throw engineLost(this.where, outcome, error, this.host);
  }
}

/** Podman cleans up what a container leaves that has ended, its network too, and its removal fails where it meets that half done. */
function isBeingCleaned(error: unknown): boolean {
  return refusalOf(error)?.status === 500 && messageOf(error).includes('cleaning up container');
}

/** The HTTP status of a refusal. */
export function statusOf(error: unknown): unknown {
  return error instanceof KvciError ? error.facts['status'] : undefined;
}

/**
 * Connects to an engine that speaks Docker's HTTP API, Docker or Podman. Nothing is kept open between requests.
 *
 * @param known what it would tell of itself: Podman runs half a dozen programs to answer that
 * @throws KvciError `engine-unreachable`
 */
export async function openClient(endpoint: EngineEndpoint, known?: EngineInfo): Promise<EngineClient> {
  const address = endpoint.leadsTo ?? endpoint.address;
  const host = otherHost(address);
  try {
    const docker = new Docker(watched(await clientOptions(endpoint)));
    const questions = docker as unknown as Questions;
    await questions.ping({ abortSignal: AbortSignal.timeout(host === undefined ? PING_MS : FAR_PING_MS) });
    if (known !== undefined) return new EngineClient(docker, known, host, new Set());
    const version = await questions.version({ abortSignal: AbortSignal.timeout(ANSWER_MS) });
    const options = (await questions.info({ abortSignal: AbortSignal.timeout(ANSWER_MS) })).SecurityOptions ?? [];
    const security = new Set(options.flatMap((option) => /^name=([^,]+)/.exec(option)?.[1] ?? []));
    const podman = version.Components?.some((component) => component.Name.startsWith('Podman')) ?? false;
    const info: EngineInfo = {
      name: podman ? 'podman' : 'docker',
      version: version.Version,
      rootless: security.has('rootless'),
      origin: endpoint.origin,
      architecture: version.Arch,
    };
    return new EngineClient(docker, info, host, security);
  } catch (error) {
    throw engineUnreachable(endpoint.origin, address, error);
  }
}

/** An engine on this host is there or is not. */
function watched(options: ClientOptions): ClientOptions {
  const { agent, ...plain } = options;
  if (agent === undefined) return options;
  const asking = new Docker(plain) as unknown as Questions;
  return { ...plain, agent: watchedAgent(agent, (abortSignal) => asking.ping({ abortSignal })) };
}

/**
 * All options stand here: what is left out the library would take from DOCKER_HOST and friends. It takes an agent, of which its published
 * types do not tell.
 */
async function clientOptions({ address }: EngineEndpoint): Promise<ClientOptions> {
  const nothing = {
    socketPath: undefined,
    host: undefined,
    port: undefined,
    protocol: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
  };
  if (address.transport === 'unix') return { ...nothing, socketPath: address.path, protocol: 'http' };
  if (address.transport === 'ssh') throw new KvciError('bug', 'no-tunnel', 'an engine of another host is spoken to through a tunnel');
  const { host, port, tls } = address;
  if (tls === undefined) return { ...nothing, host, port, protocol: 'http', agent: new HttpAgent() };
  const ca = await readFile(tls.ca);
  const pair = tls.keyPair === undefined ? {} : { cert: await readFile(tls.keyPair.cert), key: await readFile(tls.keyPair.key) };
  return { ...nothing, host, port, protocol: 'https', ca, ...pair, agent: new HttpsAgent() };
}
