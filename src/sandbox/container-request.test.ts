import { describe, expect, it, test } from 'vitest';

import { besideContainer, capabilitiesOf, type ContainerPlan, sandboxContainer, throughUser } from './container-request.ts';
import type { ContainerRecord } from './types.ts';

const record: ContainerRecord = {
  kind: 'container',
  name: 'machines lab',
  id: 'a1b2c3',
  engine: '/run/docker.sock',
  network: 'private',
  folder: '/run/user/1000/kvci/boxes/a1b2c3',
};

const user = { uid: 1000, gid: 100 };

const HOST = new Set(['/dev/net/tun', '/dev/kvm', '/proc/sys/net/ipv6/conf/all/disable_ipv6']);

const plan: ContainerPlan = {
  record,
  image: 'localhost/kvci/tools:0',
  init: 'echo ready',
  exists: (path) => HOST.has(path),
  onLine: () => undefined,
};

describe('the container of a sandbox', () => {
  it('has its own network, the devices that the host has, and sees what is bound', () => {
    const binds = [{ host: '/disks', inside: '/files/0', writable: false }];
    const settings = { 'net/ipv6/conf/all/disable_ipv6': '0', 'net/ipv4/no_such_setting': '1' };
    expect(sandboxContainer(plan, { binds, settings })).toEqual({
      name: 'kvci-machines-lab-a1b2c3',
      hostname: 'sandbox',
      image: 'localhost/kvci/tools:0',
      command: ['/bin/sh', '-c', 'echo ready', 'init.sh', 'contain', '/dev/net/tun', '/dev/kvm'],
      labels: { 'io.kvci.sandbox': 'a1b2c3', 'io.kvci.sandbox/network': 'private' },
      capabilities: ['NET_ADMIN', 'NET_RAW', 'NET_BIND_SERVICE', 'DAC_OVERRIDE', 'SETGID'],
      devices: ['/dev/net/tun', '/dev/kvm'],
      binds: [{ host: record.folder, inside: '/run/kvci', writable: true }, ...binds],
      tmpfs: { '/run': 'rw,exec,mode=755', '/tmp': 'rw,exec,mode=1777' },
      network: 'none',
      sysctls: { 'net.ipv6.conf.all.disable_ipv6': '0' },
      onLine: plan.onLine,
    });
  });

  it("has the network of its engine where it is to lead outside, and the host's where it is the one beside", () => {
    expect(sandboxContainer(plan, { binds: [], outbound: true }).network).toBe('bridge');
    const beside = { ...plan, record: { ...record, network: 'host' as const } };
    expect(sandboxContainer(beside, { binds: [], outbound: true }).network).toBe('host');
  });

  it('has a folder of the host for what is temporary', () => {
    const { binds, tmpfs } = sandboxContainer(plan, { binds: [], scratch: '/cache/scratch' });
    expect(binds.slice(1)).toEqual([
      { host: '/cache/scratch', inside: '/tmp', writable: true },
      { host: '/cache/scratch', inside: '/var/tmp', writable: true },
    ]);
    expect(tmpfs).toEqual({ '/run': 'rw,exec,mode=755' });
  });

  it('in the host’s network changes nothing there', () => {
    const host = sandboxContainer({ ...plan, record: { ...record, network: 'host' } }, { binds: [], settings: { 'net/x': '1' } });
    expect(host).toMatchObject({ network: 'host', sysctls: {}, capabilities: ['NET_BIND_SERVICE', 'DAC_OVERRIDE', 'SETGID'] });
  });

  it('has another one beside it that ends with it', () => {
    const beside = besideContainer(plan, 'c0ffee');
    expect(beside).toMatchObject({
      name: 'kvci-machines-lab-a1b2c3-host',
      labels: { 'io.kvci.sandbox': 'a1b2c3', 'io.kvci.sandbox/network': 'host' },
      network: 'host',
      devices: [],
      among: 'c0ffee',
    });
    expect(beside.capabilities).not.toContain('NET_ADMIN');
  });
});

test.each<[string, Pick<ContainerRecord, 'network' | 'user'>, string[], string[]]>([
  [
    'root, or an engine without root',
    { network: 'private' },
    ['NET_ADMIN', 'NET_RAW', 'NET_BIND_SERVICE', 'DAC_OVERRIDE', 'SETGID'],
    ['env'],
  ],
  [
    'an ordinary user of an engine with root',
    { network: 'private', user },
    ['NET_ADMIN', 'NET_RAW', 'NET_BIND_SERVICE', 'SETUID', 'SETGID', 'SETPCAP'],
    [
      ...['setpriv', '--reuid=1000', '--regid=100', '--clear-groups'],
      ...['--inh-caps=+net_admin,+net_raw,+net_bind_service', '--ambient-caps=+net_admin,+net_raw,+net_bind_service', '--'],
    ],
  ],
  [
    'the same in the network of the host',
    { network: 'host', user },
    ['NET_BIND_SERVICE', 'SETUID', 'SETGID', 'SETPCAP'],
    [
      ...['setpriv', '--reuid=1000', '--regid=100', '--clear-groups'],
      ...['--inh-caps=+net_bind_service', '--ambient-caps=+net_bind_service', '--'],
    ],
  ],
])('rights and commands of %s', (_who, seen, capabilities, through) => {
  expect(capabilitiesOf(seen)).toEqual(capabilities);
  expect(throughUser(seen)).toEqual(through);
});
