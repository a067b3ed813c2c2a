import { expect, it } from 'vitest';

import { containerBody, networkBody } from './container-body.ts';
import type { ContainerRequest } from './containers.ts';

const node: ContainerRequest = {
  name: 'kvci-c-node01',
  hostname: 'node01',
  image: 'localhost/kvci/node:1',
  labels: { 'io.kvci.run': 'r' },
  env: { A: 'b=c' },
  privileged: true,
  network: { name: 'kvci-c', ipv4: '10.89.1.11', ipv6: 'fd00::11' },
  tmpfs: ['/run'],
  binds: [{ host: '/lib/modules', inside: '/lib/modules' }],
  volumes: [{ name: 'kvci-c-node01-var', inside: '/var' }],
  publish: [{ inside: 6443, host: 24001 }],
  cpus: 1.5,
  memory: 2_000_000_000,
};

it('a node as its engine is asked for it', () => {
  expect(containerBody(node, 'docker')).toEqual({
    Image: 'localhost/kvci/node:1',
    Hostname: 'node01',
    Labels: { 'io.kvci.run': 'r' },
    Env: ['A=b=c'],
    Tty: true,
    ExposedPorts: { '6443/tcp': {} },
    HostConfig: {
      Privileged: true,
      SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
      CgroupnsMode: 'private',
      NetworkMode: 'kvci-c',
      Tmpfs: { '/run': '' },
      Binds: ['/lib/modules:/lib/modules:ro', 'kvci-c-node01-var:/var'],
      PortBindings: { '6443/tcp': [{ HostIp: '127.0.0.1', HostPort: '24001' }] },
      NanoCpus: 1_500_000_000,
      Memory: 2_000_000_000,
    },
    NetworkingConfig: { EndpointsConfig: { 'kvci-c': { IPAMConfig: { IPv4Address: '10.89.1.11', IPv6Address: 'fd00::11' } } } },
  });
});

it("a port is published at another address of the engine's host where that is asked for", () => {
  const publish = [{ inside: 6443, host: 24001, address: '192.0.2.7' }];
  expect(containerBody({ ...node, publish }, 'docker').HostConfig['PortBindings']).toEqual({
    '6443/tcp': [{ HostIp: '192.0.2.7', HostPort: '24001' }],
  });
});

it("podman's volumes carry programs and devices when asked to", () => {
  expect(containerBody(node, 'podman').HostConfig['Binds']).toContain('kvci-c-node01-var:/var:suid,dev,exec');
});

it('an unprivileged container keeps the rights that its engine gives', () => {
  const { HostConfig, Tty, Cmd } = containerBody({ ...node, privileged: false, command: ['sleep', '1'] }, 'docker');
  expect(Cmd).toEqual(['sleep', '1']);
  expect(Tty).toBe(false);
  expect(HostConfig).not.toHaveProperty('SecurityOpt');
});

it.each([
  [{ ipv4: '10.89.1.0/24' }, { EnableIPv6: false }, ['10.89.1.0/24']],
  [{ ipv6: 'fd00::/64' }, { EnableIPv6: true, EnableIPv4: false }, ['fd00::/64']],
  [{ ipv4: '10.89.1.0/24', ipv6: 'fd00::/64' }, { EnableIPv6: true }, ['10.89.1.0/24', 'fd00::/64']],
])('a network of %o', (ranges, families, subnets) => {
  expect(networkBody({ name: 'n', labels: {}, ...ranges })).toEqual({
    Name: 'n',
    Driver: 'bridge',
    Labels: {},
    ...families,
    IPAM: { Driver: 'default', Config: subnets.map((Subnet) => ({ Subnet })) },
  });
});
