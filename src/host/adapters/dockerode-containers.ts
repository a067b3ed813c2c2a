import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { cancelled, KvciError } from '../../core/errors.ts';
import { containerBody, networkBody } from '../engine/container-body.ts';
import type { ContainerExec, ContainerInfo, ContainerRequest, Containers, Labels } from '../engine/containers.ts';
import type { EngineEndpoint } from '../engine/endpoint.ts';
import { addressMissing, engineLost, portTaken, requestFailed } from '../engine/errors.ts';
import { endMarkedArgv, EXEC_MARK } from '../exec-mark.ts';
import { feed, forwardOutput, FrameReader, type Input } from '../engine/exec-stream.ts';
import type { EngineInfo } from '../types.ts';
import { ANSWER_MS, type Docker, type EngineClient, openClient, statusOf } from './dockerode-client.ts';

/** How long an engine may take to notice that a command has ended after its streams have. */
const EXIT_CODE_MS = 10_000;
const POLL_MS = 20;

/** @param known as {@link openClient} @throws KvciError `engine-unreachable` */
export async function connectContainers(endpoint: EngineEndpoint, known?: EngineInfo): Promise<Containers> {
  return new DockerodeContainers(await openClient(endpoint, known));
}

class DockerodeContainers implements Containers {
  readonly #client: EngineClient;
  readonly #docker: Docker;

  constructor(client: EngineClient) {
    this.#client = client;
    this.#docker = client.docker;
  }

  get info(): Containers['info'] {
    return this.#client.info;
  }

  async create(request: ContainerRequest, signal: AbortSignal): Promise<string> {
    const body = { name: request.name, ...containerBody(request, this.info.name), abortSignal: signal };
    const created = await this.#named(`create container ${request.name}`, request.name, () =>
      this.#client.ask(`create container ${request.name}`, signal, () =>
        this.#docker.createContainer(body as unknown as Docker.ContainerCreateOptions),
      ),
    );
    return created.id;
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#changed(() =>
        this.#client.ask(`start container ${id}`, signal, () => this.#docker.getContainer(id).start({ abortSignal: signal })),
      );
    } catch (error) {
      const reason = reasonOf(error);
      const { host } = this.#client;
      throw portTaken(reason, error, host) ?? addressMissing(reason, error, host) ?? error;
    }
  }

  async stop(id: string, seconds: number): Promise<void> {
    const signal = AbortSignal.timeout(seconds * 1000 + ANSWER_MS);
    await this.#changed(() =>
      this.#client.ask(`stop container ${id}`, signal, () => this.#docker.getContainer(id).stop({ t: seconds, abortSignal: signal })),
    );
  }

  async remove(id: string): Promise<void> {
    await this.#client.removeContainer(id);
  }

  async list(labels: Labels): Promise<readonly ContainerInfo[]> {
    const found = await this.#client.soon('list containers', (abortSignal) =>
      this.#docker.listContainers({ all: true, filters: labelFilter(labels), abortSignal } as Docker.ContainerListOptions),
    );
    return Promise.all(found.map(({ Id }) => this.#inspect(Id))).then((infos) => infos.flatMap((info) => info ?? []));
  }

  async exec(id: string, request: ContainerExec): Promise<number> {
    const { terminal, stdin, through = [] } = request;
    const signal = request.signal ?? new AbortController().signal;
    const mark = randomUUID();
    const doing = `run ${request.argv[0]}`;
    const exec = await this.#inside(id, () =>
      this.#client.ask(doing, signal, (abortSignal) =>
        this.#docker.getContainer(id).exec({
          Cmd: [...through, ...request.argv],
          Env: Object.entries({ ...request.env, [EXEC_MARK]: mark }).map(([name, value]) => `${name}=${value}`),
          AttachStdin: stdin !== undefined,
          AttachStdout: true,
          AttachStderr: true,
          Tty: terminal !== undefined,
          ...(request.cwd === undefined ? {} : { WorkingDir: request.cwd }),
          abortSignal,
        }),
      ),
    );
    const stream = await this.#inside(id, () =>
      this.#client.ask(
        doing,
        signal,
        // The connection becomes the command's streams, whether it reads or not: without that engines buffer what it writes.
        async () =>
          exec.start({
            hijack: true,
            stdin: true,
            Tty: terminal !== undefined,
            Detach: false,
            // Two words for one thing: Docker's and Podman's.
            ...(terminal === undefined ? {} : { ConsoleSize: [terminal.rows, terminal.columns], h: terminal.rows, w: terminal.columns }),
          }),
      ),
    );
    const leave = (): void => {
      stream.destroy();
    };
    signal.addEventListener('abort', leave);
    if (signal.aborted) leave();
    let input: Input | undefined;
    try {
      // Engines that take no size at the start. Nobody waits for it: a command may have ended by now.
      if (terminal !== undefined) void resize(exec, terminal);
      request.onStart?.((size) => resize(exec, size));
      // What the command did not read when it ends is nobody's loss.
      stream.on('error', () => undefined);
      input = stdin === undefined ? undefined : feed(stdin, stream);
      await forwardOutput(stream, request, terminal !== undefined);
      const exitCode = await this.#exitCode(exec, doing);
      input?.throwIfBroken();
      return exitCode;
    } catch (error) {
      if (signal.aborted) {
        await this.#end(id, [...through, ...endMarkedArgv(mark)]);
        throw cancelled(signal);
      }
      input?.throwIfBroken();
      throw this.#lost(error, signal);
    } finally {
      signal.removeEventListener('abort', leave);
      input?.takeAway();
      stream.destroy();
    }
  }

  async logs(id: string): Promise<string> {
    const container = this.#docker.getContainer(id);
    const doing = `read the console of ${id}`;
    const { Config } = await this.#client.soon(doing, (abortSignal) => container.inspect({ abortSignal } as object));
    const answer: unknown = await this.#client.soon(doing, (abortSignal) =>
      container.logs({ follow: false, stdout: true, stderr: true, abortSignal }),
    );
    const bytes = Buffer.isBuffer(answer) ? answer : Buffer.from(String(answer));
    return (Config.Tty ? bytes : Buffer.concat([...new FrameReader().read(bytes)].map(([, chunk]) => chunk))).toString();
  }

  async createNetwork(request: Parameters<Containers['createNetwork']>[0]): Promise<void> {
    const doing = `create network ${request.name}`;
    try {
      await this.#named(doing, request.name, () =>
        this.#client.soon(doing, (abortSignal) =>
          this.#docker.createNetwork({ ...networkBody(request), CheckDuplicate: true, abortSignal }),
        ),
      );
    } catch (error) {
      if (!(error instanceof KvciError) || !/overlap|already (being )?used|in use|conflicts? with/i.test(reasonOf(error))) throw error;
      throw new KvciError('failed', 'network-taken', error.message, { cause: error });
    }
  }

  async networks(labels: Labels): Promise<Awaited<ReturnType<Containers['networks']>>> {
    const found = await this.#client.soon('list networks', (abortSignal) =>
      this.#docker.listNetworks({ filters: labelFilter(labels), abortSignal } as Docker.NetworkListOptions),
    );
    return found.map(({ Name, Labels: own, IPAM }) => ({
      name: Name,
      labels: own ?? {},
      ranges: (IPAM?.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []),
    }));
  }

  async removeNetwork(name: string): Promise<void> {
    await this.#client.gone(`remove network ${name}`, (abortSignal) => this.#docker.getNetwork(name).remove({ abortSignal }));
  }

  async createVolume(name: string, labels: Labels): Promise<void> {
    await this.#client.soon(`create volume ${name}`, (abortSignal) =>
      this.#docker.createVolume({ Name: name, Labels: { ...labels }, abortSignal } as Docker.VolumeCreateOptions),
    );
  }

  async volumes(labels: Labels): Promise<Awaited<ReturnType<Containers['volumes']>>> {
    const { Volumes } = await this.#client.soon('list volumes', (abortSignal) =>
      this.#docker.listVolumes({ filters: JSON.stringify(labelFilter(labels)), abortSignal } as unknown as Docker.VolumeListOptions),
    );
    // Docker answers null where there is none.
    const found = Volumes as typeof Volumes | null;
    return (found ?? []).map(({ Name, Labels: own }) => ({ name: Name, labels: (own as Labels | null) ?? {} }));
  }

  async removeVolume(name: string): Promise<void> {
    await this.#client.gone(`remove volume ${name}`, (abortSignal) =>
      this.#docker.getVolume(name).remove({ force: true, abortSignal } as object),
    );
  }

  /** 304 says that it is as asked already. */
  async #changed(request: () => Promise<unknown>): Promise<void> {
    await request().catch((error: unknown) => {
      if (statusOf(error) !== 304) throw error;
    });
  }

  async #named<T>(doing: string, name: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof KvciError) || (statusOf(error) !== 409 && !/already (in use|exists|used)/i.test(reasonOf(error)))) throw error;
      if (!reasonOf(error).includes(name)) throw error;
      throw new KvciError('notFoundOrExists', 'name-taken', `the container engine could not ${doing}: the name is taken`, {
        hint: 'Something that is not of this cluster has the name: remove it, or give the cluster another name.',
        facts: { name },
        cause: error,
      });
    }
  }

  async #inside<T>(id: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      const status = statusOf(error);
      if (status !== 404 && status !== 409 && !/is not running|not running|state improper/i.test(reasonOf(error))) throw error;
      throw new KvciError('notFoundOrExists', 'container-stopped', `the container ${id} does not run`, { cause: error });
    }
  }

  async #inspect(id: string): Promise<ContainerInfo | undefined> {
    try {
      const found = await this.#client.soon(`look up container ${id}`, (abortSignal) =>
        this.#docker.getContainer(id).inspect({ abortSignal } as object),
      );
      return containerInfo(found);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async #exitCode(exec: Docker.Exec, doing: string): Promise<number> {
    for (let waited = 0; waited < EXIT_CODE_MS; waited += POLL_MS) {
      const { Running, ExitCode } = await this.#client.soon(doing, (abortSignal) => exec.inspect({ abortSignal }));
      if (!Running && ExitCode !== null) return ExitCode;
      await sleep(POLL_MS);
    }
    throw requestFailed(doing, 'it does not tell how the command ended');
  }

  async #end(id: string, argv: string[]): Promise<void> {
    const ending = await this.#docker
      .getContainer(id)
      .exec({ Cmd: argv, AttachStdout: true, AttachStderr: true })
      .then((exec) => exec.start({ hijack: true, stdin: true }))
      // The container is gone, and the command with it.
      .catch(() => undefined);
    if (ending === undefined) return;
    ending.resume();
    await new Promise((resolve) => ending.once('close', resolve).once('error', resolve));
  }

  #lost(error: unknown, signal: AbortSignal): unknown {
    if (error instanceof KvciError) return error;
    try {
      this.#client.rethrowLost(error, signal);
    } catch (lost) {
      return lost;
    }
    return engineLost(this.#client.where, undefined, error, this.#client.host);
  }
}

/** A window that is gone when it is to be resized is no failure of the command. */
async function resize(exec: Docker.Exec, { columns, rows }: { readonly columns: number; readonly rows: number }): Promise<void> {
  await exec.resize({ w: columns, h: rows }).catch(() => undefined);
}

function containerInfo(found: Docker.ContainerInspectInfo): ContainerInfo {
  const networks = Object.values(found.NetworkSettings.Networks);
  const ipv4 = networks.find(({ IPAddress }) => IPAddress !== '')?.IPAddress;
  const ipv6 = networks.find(({ GlobalIPv6Address }) => GlobalIPv6Address !== '')?.GlobalIPv6Address;
  const ports = Object.entries(
    (found.NetworkSettings.Ports as Readonly<Record<string, readonly { readonly HostPort: string }[] | null>> | null) ?? {},
  );
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ''),
    labels: found.Config.Labels,
    running: found.State.Running,
    ...(found.State.Running ? {} : { exitCode: found.State.ExitCode }),
    addresses: { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) },
    published: new Map(
      ports.flatMap(([inside, hosts]) => (hosts?.[0] === undefined ? [] : [[Number.parseInt(inside, 10), Number(hosts[0].HostPort)]])),
    ),
  };
}

function labelFilter(labels: Labels): { readonly label: string[] } {
  return { label: Object.entries(labels).map(([name, value]) => (value === '' ? name : `${name}=${value}`)) };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof KvciError)) return '';
  const reason = error.facts['reason'];
  return typeof reason === 'string' ? reason : error.message;
}
