import type { Duplex } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import type { EngineEndpoint } from '../engine/endpoint.ts';
import { engineLost } from '../engine/errors.ts';
import { forwardOutput } from '../engine/exec-stream.ts';
import { heldBody } from '../engine/held-body.ts';
import type { HeldContainer, HeldContainers, HeldRequest } from '../engine/held.ts';
import { OutputText } from '../output-text.ts';
import type { EngineInfo } from '../types.ts';
import { type Docker, type EngineClient, openClient } from './dockerode-client.ts';

/** @param known as {@link openClient} @throws KvciError `engine-unreachable` */
export async function connectHeld(endpoint: EngineEndpoint, known?: EngineInfo): Promise<HeldContainers> {
  return new DockerodeHeld(await openClient(endpoint, known));
}

class DockerodeHeld implements HeldContainers {
  readonly #client: EngineClient;
  readonly #docker: Docker;

  constructor(client: EngineClient) {
    this.#client = client;
    this.#docker = client.docker;
  }

  get info(): HeldContainers['info'] {
    return this.#client.info;
  }

  async start(request: HeldRequest, signal: AbortSignal): Promise<HeldContainer> {
    const doing = `start container ${request.name}`;
    const body = { name: request.name, ...heldBody(request) } as unknown as Docker.ContainerCreateOptions;
    let stream: Duplex | undefined;
    try {
      const container = await this.#client.ask(doing, signal, (abortSignal) => this.#docker.createContainer({ ...body, abortSignal }));
      // Before the start: from the first moment on it has somebody to lose.
      stream = await this.#client.ask(
        doing,
        signal,
        async () => (await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true })) as unknown as Duplex,
      );
      const held = hold(container.id, stream, request);
      await this.#client.ask(doing, signal, (abortSignal) => container.start({ abortSignal }));
      return held;
    } catch (error) {
      stream?.destroy();
      await this.#client.removeContainer(request.name);
      throw error instanceof KvciError ? error : engineLost(this.#client.where, undefined, error);
    }
  }
}

function hold(id: string, stream: Duplex, { onLine }: HeldRequest): HeldContainer {
  const output = (name: 'stdout' | 'stderr'): OutputText => new OutputText({ keep: false, onLine: (line) => onLine(line, name) });
  const outputs = { stdout: output('stdout'), stderr: output('stderr') };
  // Whoever is gone when something is said to them is gone: that shows in the end of the stream.
  stream.on('error', () => undefined);
  const ended = forwardOutput(stream, outputs, false).then(
    () => undefined,
    // Why the connection broke shows in the next request.
    () => undefined,
  );
  return {
    id,
    ended,
    hangUp: () => {
      stream.destroy();
    },
  };
}
