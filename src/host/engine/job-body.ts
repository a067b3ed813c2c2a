import type { JobRequest } from './jobs.ts';

/** The body of `POST /containers/create` (Docker's Engine API v1.41) for a container that does one thing. */
export interface JobBody {
  readonly Image: string;
  readonly Entrypoint?: readonly string[];
  readonly Cmd: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly AttachStdin: false;
  readonly AttachStdout: true;
  readonly AttachStderr: true;
  readonly Tty: false;
  readonly HostConfig: Readonly<Record<string, unknown>>;
}

export function jobBody(request: JobRequest): JobBody {
  return {
    Image: request.image,
    ...(request.entrypoint === undefined ? {} : { Entrypoint: request.entrypoint }),
    Cmd: request.command,
    Labels: request.labels,
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    HostConfig: {
      Privileged: request.privileged,
      SecurityOpt: request.security,
      // Not as `Binds`, in which a path may have no colon.
      Mounts: request.binds.map(({ host, inside, writable }) => ({ Type: 'bind', Source: host, Target: inside, ReadOnly: !writable })),
      ...(request.network === 'none' ? { NetworkMode: 'none' } : {}),
    },
  };
}
