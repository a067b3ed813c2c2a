import { describe, expect, it } from 'vitest';

import { checkTogether, clusterOptionsSchema, parseClusterName, parseCni, vmOptionsOf } from './options.ts';

const options = (given: object) => clusterOptionsSchema.parse(given);

describe('options of a cluster', () => {
  it('have defaults', () => {
    expect(options({})).toEqual({
      name: 'kvci',
      nodes: 1,
      controlPlanes: 1,
      provider: 'auto',
      ipFamily: 'dual',
      cni: 'bridge',
      mirrors: {},
      cas: {},
      acceleration: 'auto',
      sandbox: 'namespaces',
      overrides: {},
    });
  });

  it.each([
    [{ nodes: 0 }, 'nodes'],
    [{ nodes: 1.5 }, 'nodes'],
    [{ nodes: 201 }, 'nodes'],
    [{ controlPlanes: 8 }, 'controlPlanes'],
    [{ provider: 'docker' }, 'provider'],
    [{ ipFamily: 'both' }, 'ipFamily'],
    [{ cni: 'calico' }, 'cni'],
    [{ cniSha256: 'abc' }, 'cniSha256'],
    [{ memory: 'much' }, 'memory'],
    [{ cpus: 0 }, 'cpus'],
    [{ name: 'Lab' }, 'name'],
    [{ name: 'a'.repeat(41) }, 'name'],
    [{ mirrors: { 'docker.io': 'mirror.example' } }, 'mirrors'],
    [{ mirrors: { 'docker.io': 'https://user:word@mirror.example' } }, 'mirrors'],
    [{ mirrors: { 'docker.io/library': 'https://mirror.example' } }, 'mirrors'],
    [{ cas: { 'no host': '/ca.pem' } }, 'cas'],
    [{ overrides: { worker: {} } }, 'overrides'],
    [{ nodes: 2, overrides: { node00: {} } }, 'overrides'],
    [{ nodes: 2, overrides: { node001: {} } }, 'overrides'],
    [{ kargs: ['root=/dev/vda'] }, 'kargs'],
    [{ kargs: ['two words'] }, 'kargs'],
    [{ diskSize: 'much' }, 'diskSize'],
    [{ cpuModel: 'a b' }, 'cpuModel'],
    [{ sandbox: 'jail' }, 'sandbox'],
    [{ overrides: { node02: { labels: { 'bad key': 'x' } } } }, 'overrides'],
  ])('%j is refused', (given, key) => {
    expect(clusterOptionsSchema.safeParse(given).error?.issues[0]?.path[0]).toBe(key);
  });

  it.each([
    [{ controlPlanes: 2 }, '--control-planes: 2 control planes do not fit into 1 node'],
    [{ cni: 'https://example.org/cni.yaml' }, '--cni: a manifest by its address needs --sha256, so that it is the one you mean'],
    [{ cniSha256: '0'.repeat(64) }, '--sha256: is for a --cni that is the address of a manifest'],
    [{ cas: { '*': '/ca.pem' } }, '--ca: whose certificates these are is not said: write HOST=FILE, or name a mirror with --mirror'],
    [{ overrides: { node02: {} } }, 'cluster.overrides: there is no node02 among 1 nodes'],
  ])('%j contradicts itself', (given, message) => {
    expect(() => {
      checkTogether(options(given));
    }).toThrow(message);
  });

  it('that fit together pass', () => {
    expect(() => {
      checkTogether(
        options({ nodes: 4, controlPlanes: 3, cni: 'https://example.org/x', cniSha256: '0'.repeat(64), overrides: { node04: {} } }),
      );
    }).not.toThrow();
  });
});

it('a node as a virtual machine: what differs for it, over what all have', () => {
  const given = options({ provider: 'vm', diskSize: '40G', kargs: ['a'], overrides: { node02: { kargs: ['b'], cpuModel: 'host' } } });
  expect(vmOptionsOf(given, 'node01')).toEqual({ diskSize: '40G', kargs: ['a'] });
  expect(vmOptionsOf(given, 'node02')).toEqual({ diskSize: '40G', kargs: ['b'], cpuModel: 'host' });
});

it('a pod network', () => {
  expect(parseCni('none')).toEqual({ kind: 'none' });
  expect(parseCni('https://example.org/cni.yaml')).toEqual({ kind: 'manifest', url: 'https://example.org/cni.yaml' });
  expect(() => parseCni('flannel')).toThrow('"flannel" is no pod network');
});

it('a name of a cluster is short', () => {
  expect(parseClusterName('a'.repeat(40))).toHaveLength(40);
  expect(() => parseClusterName('a'.repeat(41))).toThrow('more than 40 letters');
});
