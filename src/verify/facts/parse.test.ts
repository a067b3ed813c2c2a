import { describe, expect, it } from 'vitest';

import { rootDisk } from './disk.ts';
import { parseAddresses } from './network.ts';
import { parseListeners } from './security.ts';
import { parseUnits, unitProblem } from './units.ts';

it.each([
  ['tcp   LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=1,fd=3))', 'tcp/22', '0.0.0.0', 'sshd'],
  ['tcp   LISTEN 0      4096             [::1]:631            [::]:*', 'tcp/631', '::1', ''],
  ['tcp   LISTEN 0      4096                 *:10250             *:*', 'tcp/10250', '*', ''],
  ['udp   UNCONN 0      0      127.0.0.53%lo:53        0.0.0.0:*', 'udp/53', '127.0.0.53', ''],
  ['udp   UNCONN 0      0   [fe80::1]%enp1s0:546          [::]:*', 'udp/546', 'fe80::1', ''],
])('ss: %s', (line, port, address, process) => {
  expect(parseListeners(line)).toEqual([{ port, address, process }]);
});

it('what else ss says is no listener', () => {
  expect(parseListeners('Cannot open netlink socket: Permission denied\n\nNetid State\n')).toEqual([]);
});

describe('lsblk', () => {
  const text = (disk: object): string =>
    JSON.stringify({ blockdevices: [{ name: 'sr0', type: 'rom', size: 1, mountpoints: [null] }, disk] });

  it('a root on a partition, as numbers or text', () => {
    const children = [
      { name: 'vda1', size: '5', fssize: null, mountpoints: ['/boot/efi'] },
      { name: 'vda2', size: '90', fssize: '80', mountpoints: ['/var', '/sysroot'] },
    ];
    expect(rootDisk(text({ name: 'vda', size: 100, fssize: null, mountpoints: [null], children }))).toEqual({ disk: 100, filesystem: 80 });
  });

  it('a root on the disk itself, and none', () => {
    expect(rootDisk(text({ name: 'vda', size: 100, fssize: 99, mountpoints: ['/'] }))).toEqual({ disk: 100, filesystem: 99 });
    expect(rootDisk(text({ name: 'vda', size: 100, fssize: 99, mountpoints: ['/mnt'] }))).toBeUndefined();
  });
});

it('ip has empty objects among its answers', () => {
  const links = [
    {},
    { ifname: 'ens3', addr_info: [{}, { family: 'inet', local: '192.168.66.101' }, { family: 'inet6', local: 'fd00::101' }] },
  ];
  expect(parseAddresses(JSON.stringify(links))).toEqual([
    { family: 'ipv4', address: '192.168.66.101' },
    { family: 'ipv6', address: 'fd00::101' },
  ]);
  expect(parseAddresses('\n')).toEqual([]);
});

describe('units', () => {
  const unit = { Id: 'x.service', LoadState: 'loaded', ActiveState: 'inactive', Type: 'simple', Result: 'success', ConditionResult: 'yes' };

  it('blocks of systemctl show', () => {
    expect(parseUnits('Id=a.service\nResult=success\n\nId=b.socket\nConditionResult=no\n')).toEqual([
      { Id: 'a.service', Result: 'success' },
      { Id: 'b.socket', ConditionResult: 'no' },
    ]);
  });

  it.each([
    ['active', { ActiveState: 'active' }, undefined],
    ['failed', { ActiveState: 'failed', Result: 'exit-code' }, 'failed, result exit-code'],
    ['never started', {}, 'inactive, result success'],
    ['its condition not met', { ConditionResult: 'no', ConditionTimestampMonotonic: '7' }, undefined],
    ['never asked for its condition', { ConditionResult: 'no', ConditionTimestampMonotonic: '0' }, 'inactive, result success'],
    ['a oneshot that has run', { Type: 'oneshot', InactiveExitTimestampMonotonic: '7' }, undefined],
    ['a oneshot that has never run', { Type: 'oneshot', InactiveExitTimestampMonotonic: '0' }, 'inactive, result success'],
    ['not there', { LoadState: 'not-found' }, 'not-found'],
    ['masked', { LoadState: 'masked' }, 'masked'],
  ])('%s', (_what, change, problem) => {
    expect(unitProblem({ ...unit, ...change }, 'machine')).toBe(problem);
  });

  it('what a node cannot be without has no excuse; a container may mask what it does not need', () => {
    const unmet = { ...unit, Id: 'sshd.service', ConditionResult: 'no', ConditionTimestampMonotonic: '7' };
    expect(unitProblem(unmet, 'machine')).toBe('inactive, its condition is not met');
    expect(unitProblem(unmet, 'container')).toBeUndefined();
    expect(unitProblem({ ...unit, LoadState: 'masked' }, 'container')).toBeUndefined();
  });
});
