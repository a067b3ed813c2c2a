import type { ContainerRequest } from './containers.ts';

/** The body of `POST /containers/create` (Docker's Engine API v1.41), as far as kvci uses it. */
export interface ContainerBody {
  readonly Image: string;
  readonly Hostname: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Env: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Tty: boolean;
  readonly ExposedPorts: Readonly<Record<string, object>>;
  readonly HostConfig: Readonly<Record<string, unknown>>;
  readonly NetworkingConfig?: { readonly EndpointsConfig: Readonly<Record<string, { readonly IPAMConfig: object }>> };
}

/** Podman mounts volumes without devices, setuid and programs unless asked; Docker knows none of these words. */
const PODMAN_VOLUME = ':suid,dev,exec';

export function containerBody(request: ContainerRequest, engine: 'docker' | 'podman'): ContainerBody {
  const { network, privileged } = request;
  const ports = request.publish.map(
    ({ inside, host, address = '127.0.0.1' }) => [`${inside}/tcp`, [{ HostIp: address, HostPort: String(host) }]] as const,
  );
  const addresses = {
    ...(network.ipv4 === undefined ? {} : { IPv4Address: network.ipv4 }),
    ...(network.ipv6 === undefined ? {} : { IPv6Address: network.ipv6 }),
  };
  return {
    Image: request.image,
    Hostname: request.hostname,
    Labels: request.labels,
    Env: Object.entries(request.env).map(([name, value]) => `${name}=${value}`),
    ...(request.command === undefined ? {} : { Cmd: request.command }),
    Tty: privileged,
    ExposedPorts: Object.fromEntries(ports.map(([port]) => [port, {}])),
    HostConfig: {
      Privileged: privileged,
      ...(privileged ? { SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'], CgroupnsMode: 'private' } : {}),
      NetworkMode: network.name,
      Tmpfs: Object.fromEntries(request.tmpfs.map((path) => [path, ''])),
      Binds: [
        ...request.binds.map(({ host, inside }) => `${host}:${inside}:ro`),
        ...request.volumes.map(({ name, inside }) => `${name}:${inside}${engine === 'podman' ? PODMAN_VOLUME : ''}`),
      ],
      PortBindings: Object.fromEntries(ports),
      ...(request.cpus === undefined ? {} : { NanoCpus: Math.round(request.cpus * 1e9) }),
      ...(request.memory === undefined ? {} : { Memory: request.memory }),
    },
    ...(Object.keys(addresses).length === 0
      ? {}
      : { NetworkingConfig: { EndpointsConfig: { [network.name]: { IPAMConfig: addresses } } } }),
  };
}

/** The body of `POST /networks/create` for a bridge with the given ranges; gateways are the first addresses. */
export function networkBody(request: {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ipv4?: string;
  readonly ipv6?: string;
}) {
  const ranges = [request.ipv4, request.ipv6].filter((range) => range !== undefined);
  return {
    Name: request.name,
    Driver: 'bridge',
    Labels: request.labels,
    EnableIPv6: request.ipv6 !== undefined,
    // Engines that know no networks without IPv4 ignore it.
    ...(request.ipv4 === undefined ? { EnableIPv4: false } : {}),
    IPAM: { Driver: 'default', Config: ranges.map((range) => ({ Subnet: range })) },
  };
}
