import { expect, it } from 'vitest';

import { heldBody } from './held-body.ts';
import type { HeldRequest } from './held.ts';

const box: HeldRequest = {
  name: 'kvci-box',
  hostname: 'sandbox',
  image: 'localhost/kvci/tools:0',
  command: ['/bin/sh', '-c', 'echo ready'],
  labels: { 'io.kvci.sandbox': 'a1' },
  capabilities: ['NET_ADMIN'],
  devices: ['/dev/net/tun'],
  binds: [
    { host: '/run/a:b', inside: '/run/kvci', writable: true },
    { host: '/disks', inside: '/files/0', writable: false },
  ],
  tmpfs: { '/run': 'rw,exec,mode=755' },
  network: 'none',
  sysctls: { 'net.ipv6.conf.all.disable_ipv6': '0' },
  onLine: () => undefined,
};

it('a container with few rights, removed when it ends, as its engine is asked for it', () => {
  expect(heldBody(box)).toEqual({
    Image: 'localhost/kvci/tools:0',
    Hostname: 'sandbox',
    Entrypoint: ['/bin/sh'],
    Cmd: ['-c', 'echo ready'],
    Labels: { 'io.kvci.sandbox': 'a1' },
    StopSignal: 'SIGKILL',
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    HostConfig: {
      AutoRemove: true,
      Privileged: false,
      CapDrop: ['ALL'],
      CapAdd: ['NET_ADMIN'],
      SecurityOpt: ['no-new-privileges', 'label=disable'],
      UsernsMode: 'host',
      NetworkMode: 'none',
      Devices: [{ PathOnHost: '/dev/net/tun', PathInContainer: '/dev/net/tun', CgroupPermissions: 'rw' }],
      Mounts: [
        { Type: 'bind', Source: '/run/a:b', Target: '/run/kvci', ReadOnly: false },
        { Type: 'bind', Source: '/disks', Target: '/files/0', ReadOnly: true },
      ],
      Tmpfs: { '/run': 'rw,exec,mode=755' },
      Sysctls: { 'net.ipv6.conf.all.disable_ipv6': '0' },
    },
  });
});

it('one beside another, in the network of the host: its name and settings are the host’s', () => {
  const { Hostname, HostConfig } = heldBody({ ...box, network: 'host', sysctls: {}, among: 'c0ffee' });
  expect(Hostname).toBeUndefined();
  expect(HostConfig).toMatchObject({ NetworkMode: 'host', PidMode: 'container:c0ffee' });
  expect(HostConfig).not.toHaveProperty('Sysctls');
});
