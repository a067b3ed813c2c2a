import type { HeldRequest } from './held.ts';

/** The body of `POST /containers/create` (Docker's Engine API v1.41) for a container that is held. */
export interface HeldBody {
  readonly Image: string;
  readonly Hostname?: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly StopSignal: 'SIGKILL';
  readonly OpenStdin: true;
  readonly StdinOnce: true;
  readonly AttachStdin: true;
  readonly AttachStdout: true;
  readonly AttachStderr: true;
  readonly Tty: false;
  readonly HostConfig: Readonly<Record<string, unknown>>;
}

export function heldBody(request: HeldRequest): HeldBody {
  const { network, among, binds, sysctls } = request;
  const [program, ...args] = request.command;
  return {
    Image: request.image,
    // With the host's network comes the host's name.
    ...(network === 'host' ? {} : { Hostname: request.hostname }),
    Entrypoint: [program],
    Cmd: args,
    Labels: request.labels,
    // There is nothing to be done in order.
    StopSignal: 'SIGKILL',
    OpenStdin: true,
    // Its input ends when whoever is attached first is gone.
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    HostConfig: {
      AutoRemove: true,
      Privileged: false,
      CapDrop: ['ALL'],
      CapAdd: request.capabilities,
      // On hosts with SELinux folders and devices would be closed by their labels otherwise.
      SecurityOpt: ['no-new-privileges', 'label=disable'],
      // A daemon that remaps users would have files of the host belong to nobody.
      UsernsMode: 'host',
      NetworkMode: network,
      ...(among === undefined ? {} : { PidMode: `container:${among}` }),
      Devices: request.devices.map((path) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: 'rw' })),
      // Not as `Binds`, in which a path may have no colon, and a folder that is not there would be made.
      Mounts: binds.map(({ host, inside, writable }) => ({ Type: 'bind', Source: host, Target: inside, ReadOnly: !writable })),
      Tmpfs: request.tmpfs,
      ...(Object.keys(sysctls).length === 0 ? {} : { Sysctls: sysctls }),
    },
  };
}
