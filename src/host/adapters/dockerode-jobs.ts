import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';

import { cancelled, KvciError } from '../../core/errors.ts';
import type { EngineEndpoint } from '../engine/endpoint.ts';
import { engineLost } from '../engine/errors.ts';
import { forwardOutput } from '../engine/exec-stream.ts';
import { jobBody } from '../engine/job-body.ts';
import type { EngineImage, JobOutcome, JobRequest, Jobs, LayerStorage } from '../engine/jobs.ts';
import { OutputText } from '../output-text.ts';
import { type Docker, type EngineClient, openClient, statusOf } from './dockerode-client.ts';

/** @throws KvciError `engine-unreachable` */
export async function connectJobs(endpoint: EngineEndpoint): Promise<Jobs> {
  return new DockerodeJobs(await openClient(endpoint));
}

class DockerodeJobs implements Jobs {
  readonly #client: EngineClient;
  readonly #docker: Docker;

  constructor(client: EngineClient) {
    this.#client = client;
    this.#docker = client.docker;
  }

  get info(): Jobs['info'] {
    return this.#client.info;
  }

  async storage(): Promise<LayerStorage> {
    const { Driver, DockerRootDir } = await this.#client.soon('tell about itself', (abortSignal) =>
      (this.#docker as unknown as Informed).info({ abortSignal }),
    );
    return { driver: Driver, root: DockerRootDir };
  }

  async image(name: string): Promise<EngineImage | undefined> {
    try {
      const { Id, RepoDigests, Architecture, Size } = await this.#client.soon(`look up ${name}`, (abortSignal) =>
        (this.#docker.getImage(name) as unknown as Inspected).inspect({ abortSignal }),
      );
      return { id: Id, digests: RepoDigests ?? [], architecture: Architecture, size: Size };
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async run(request: JobRequest, signal: AbortSignal): Promise<JobOutcome> {
    const doing = `run ${request.image}`;
    const body = { name: request.name, ...jobBody(request) } as unknown as Docker.ContainerCreateOptions;
    try {
      const container = await this.#client.ask(doing, signal, (abortSignal) => this.#docker.createContainer({ ...body, abortSignal }));
      return await this.#follow(container, request, doing, signal);
    } finally {
      await this.remove(request.name);
    }
  }

  remove(name: string): Promise<void> {
    return this.#client.removeContainer(name);
  }

  async #follow(container: Docker.Container, request: JobRequest, doing: string, signal: AbortSignal): Promise<JobOutcome> {
    // Before the start: what it says first is not lost.
    const stream = await this.#client.ask(
      doing,
      signal,
      async () => (await container.attach({ stream: true, stdout: true, stderr: true, hijack: true })) as unknown as Duplex,
    );
    const leave = (): void => {
      stream.destroy();
    };
    signal.addEventListener('abort', leave);
    try {
      const outputs = { stdout: outputOf('stdout', request), stderr: outputOf('stderr', request) };
      const reading = forwardOutput(stream, outputs, false);
      // Awaited below; a start that fails ends the stream, too.
      reading.catch(() => undefined);
      await this.#client.ask(doing, signal, (abortSignal) => container.start({ abortSignal }));
      const { StatusCode } = (await this.#client.ask(doing, signal, (abortSignal) => container.wait({ abortSignal }))) as Waited;
      await reading;
      for (const output of Object.values(outputs)) await finished(output.end());
      const { State } = await this.#client.soon(doing, (abortSignal) => container.inspect({ abortSignal } as object));
      return { exitCode: StatusCode, outOfMemory: State.OOMKilled, stdout: outputs.stdout.text, stderr: outputs.stderr.text };
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      if (error instanceof KvciError) throw error;
      throw engineLost(this.#client.where, undefined, error);
    } finally {
      signal.removeEventListener('abort', leave);
      stream.destroy();
    }
  }
}

/** The library's types take no signal here, and claim more of the answers than engines give. */
interface Informed {
  info(options: { readonly abortSignal: AbortSignal }): Promise<{ readonly Driver: string; readonly DockerRootDir: string }>;
}

interface Inspected {
  inspect(options: { readonly abortSignal: AbortSignal }): Promise<{
    readonly Id: string;
    /** Docker answers null for an image that was never in a registry. */
    readonly RepoDigests: readonly string[] | null;
    readonly Architecture: string;
    readonly Size: number;
  }>;
}

interface Waited {
  readonly StatusCode: number;
}

function outputOf(stream: 'stdout' | 'stderr', { onLine }: JobRequest): OutputText {
  return new OutputText({ keep: true, ...(onLine === undefined ? {} : { onLine: (line) => onLine(line, stream) }) });
}
