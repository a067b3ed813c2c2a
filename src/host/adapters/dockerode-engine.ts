import { addAbortSignal, Readable } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import { EngineStream } from '../engine/build-stream.ts';
import { type RegistryAuth, type RegistryCredentials, serverAddress } from '../engine/credentials.ts';
import type { EngineEndpoint } from '../engine/endpoint.ts';
import { buildError, buildFailed, pullFailed, refusalOf, requestFailed } from '../engine/errors.ts';
import { withoutLoopback } from '../engine/proxy.ts';
import type { BuildRequest, ContainerEngine, EngineInfo } from '../types.ts';
import { ANSWER_MS, type Docker, type EngineClient, openClient } from './dockerode-client.ts';

/** @throws KvciError `engine-unreachable` */
export async function connectEngine(endpoint: EngineEndpoint, credentials: RegistryCredentials): Promise<ContainerEngine> {
  return new DockerodeEngine(await openClient(endpoint), credentials);
}

class DockerodeEngine implements ContainerEngine {
  readonly #client: EngineClient;
  readonly #docker: Docker;
  readonly #credentials: RegistryCredentials;

  constructor(client: EngineClient, credentials: RegistryCredentials) {
    this.#client = client;
    this.#docker = client.docker;
    this.#credentials = credentials;
  }

  info(): Promise<EngineInfo> {
    return Promise.resolve(this.#client.info);
  }

  async build(request: BuildRequest): Promise<void> {
    const { context, signal } = request;
    const stream = new EngineStream();
    try {
      const registryconfig = registryConfig(await this.#credentials.all());
      const response = await this.#docker.buildImage(context, {
        // The classic builder: plain JSON messages, no session to keep alive, and every engine has it. Podman answers with Buildah.
        version: '1',
        dockerfile: request.containerfile,
        t: request.tag,
        buildargs: this.#client.host === undefined ? request.buildArgs : withoutLoopback(request.buildArgs),
        nocache: request.noCache,
        platform: request.platform,
        // A build sees the network as the host sees it: a proxy on localhost and a VPN's resolver work. A daemon that remaps users
        // refuses the host's network.
        networkmode: this.#client.security.has('userns') ? 'default' : 'host',
        rm: true,
        forcerm: true,
        ...(registryconfig === undefined ? {} : { registryconfig }),
        abortSignal: signal,
      });
      await follow(response, stream, request.onLine);
    } catch (error) {
      this.#client.rethrowLost(error, signal, stream.outcome, context);
      const refusal = refusalOf(error);
      throw refusal === undefined ? error : buildFailed(refusal.message, stream.outcome);
    } finally {
      // Whoever makes the context stops when nobody reads it any more.
      context.destroy();
    }
    const failure = buildError(stream.outcome, this.#client.where);
    if (failure !== undefined) throw failure;
  }

  async importRoot(tar: Readable, tag: string, signal: AbortSignal): Promise<void> {
    await this.#transfer(`import ${tag}`, signal, tar, () => this.#docker.importImage(tar, { ...splitTag(tag), abortSignal: signal }));
  }

  async load(archive: Readable, signal: AbortSignal): Promise<void> {
    await this.#transfer('load an image', signal, archive, () => this.#docker.loadImage(archive, { abortSignal: signal }));
  }

  async save(tag: string, signal: AbortSignal): Promise<Readable> {
    const response = await this.#client.ask(`save ${tag}`, signal, () => this.#docker.getImage(tag).get());
    return Readable.from(this.#guarded(addAbortSignal(signal, toReadable(response)), signal), { objectMode: false });
  }

  async hasImage(tag: string): Promise<boolean> {
    return (await this.imageId(tag)) !== undefined;
  }

  async imageId(tag: string): Promise<string | undefined> {
    try {
      return (await this.#client.ask(`look up ${tag}`, AbortSignal.timeout(ANSWER_MS), () => this.#docker.getImage(tag).inspect())).Id;
    } catch (error) {
      if (error instanceof KvciError && error.facts['status'] === 404) return undefined;
      throw error;
    }
  }

  async images(): Promise<readonly string[]> {
    const found = await this.#client.ask('list images', AbortSignal.timeout(ANSWER_MS), () => this.#docker.listImages());
    // Docker answers null for those that have none.
    return found.flatMap(({ RepoTags }: { readonly RepoTags?: readonly string[] | null | undefined }) => RepoTags ?? []);
  }

  async pull(ref: string, signal: AbortSignal, onLine: (line: string) => void): Promise<void> {
    // Without a tag Docker would pull all tags of the repository.
    const exact = /[@:][^/]*$/.test(ref) ? ref : `${ref}:latest`;
    const auth = await this.#credentials.forImage(exact);
    const options = { fromImage: exact, abortSignal: signal };
    const stream = new EngineStream();
    try {
      const response = await (auth === undefined ? this.#docker.createImage(options) : this.#docker.createImage(authConfig(auth), options));
      await follow(response, stream, onLine);
    } catch (error) {
      this.#client.rethrowLost(error, signal, stream.outcome);
      const refusal = refusalOf(error);
      throw refusal === undefined ? error : pullFailed(exact, refusal.message);
    }
    if (stream.outcome.failure !== undefined) throw pullFailed(exact, stream.outcome.failure);
  }

  async remove(tag: string): Promise<void> {
    try {
      await this.#client.ask(`remove ${tag}`, AbortSignal.timeout(ANSWER_MS), (signal) =>
        this.#docker.getImage(tag).remove({ abortSignal: signal }),
      );
    } catch (error) {
      if (!(error instanceof KvciError && error.facts['status'] === 404)) throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** Sends a body and follows the answer to its end. */
  async #transfer(doing: string, signal: AbortSignal, body: Readable, request: () => Promise<NodeJS.ReadableStream>): Promise<void> {
    const stream = new EngineStream();
    try {
      await this.#client.ask(doing, signal, async () => follow(await request(), stream, () => undefined), body);
    } finally {
      body.destroy();
    }
    if (stream.outcome.failure !== undefined) throw requestFailed(doing, stream.outcome.failure);
  }

  async *#guarded(stream: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of stream) yield chunk as Uint8Array;
    } catch (error) {
      this.#client.rethrowLost(error, signal);
      throw error;
    }
  }
}

async function follow(response: NodeJS.ReadableStream, stream: EngineStream, onLine: (line: string) => void): Promise<void> {
  for await (const chunk of response) {
    for (const line of stream.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)) onLine(line);
  }
  for (const line of stream.end()) onLine(line);
}

function toReadable(stream: NodeJS.ReadableStream): Readable {
  return stream instanceof Readable ? stream : new Readable().wrap(stream);
}

/** `localhost:5000/a/b:1` is repository `localhost:5000/a/b` with tag `1`. */
function splitTag(tag: string): { readonly repo: string; readonly tag: string } {
  const [, repo, version] = /^(.+?)(?::([^/:]+))?$/.exec(tag) ?? [];
  return { repo: repo ?? tag, tag: version ?? 'latest' };
}

function authConfig(auth: RegistryAuth): Docker.AuthConfig {
  if (auth.kind === 'identity-token') return { identitytoken: auth.token.reveal() };
  return { username: auth.username, password: auth.password.reveal() };
}

/**
 * The header is made here: the library would write standard base64 where both engines read the URL alphabet, and a password
 * with the wrong bytes in it would be dropped without a word.
 */
function registryConfig(auths: ReadonlyMap<string, RegistryAuth>): Docker.RegistryConfig | undefined {
  if (auths.size === 0) return undefined;
  const config = Object.fromEntries([...auths].map(([registry, auth]) => [serverAddress(registry), authConfig(auth)]));
  const base64 = Buffer.from(JSON.stringify(config)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  // The library sends `base64` as it stands; its types do not say so.
  return { base64 } as unknown as Docker.RegistryConfig;
}
