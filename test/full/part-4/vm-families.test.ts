import { describe, expect, it } from 'vitest';

import { clusterContract } from '../../fixtures/cluster-contract.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { expectStopInOrder } from '../../fixtures/stop-order.ts';
import { besideQemu } from '../../fixtures/vm-memory.ts';
import { killVm } from '../../fixtures/vm-processes.ts';
import { outsideProblem, reachesHostButNotItsLoopback } from '../../fixtures/way-outside.ts';

/*
 * Control planes that are containers with workers that are virtual machines, in every family. Packets go from pods over the bridge of
 * their node, its network device and the network of the cluster, as they do where all nodes are machines; what those have of their own
 * (their network, its addresses, DHCP, the way to the API) is asked of one family each by vm-in-container.test.ts and vm-user.test.ts,
 * which share their clusters with it. With two workers packets also go from machine to machine.
 */

const FLAGS = ['--provider', 'vm', '--control-plane-provider', 'kind'];

describe('a cluster of both kinds', () => {
  const name = 'kvci-mixed';
  const all = ['node01', 'node02', 'node03'];

  clusterContract({ name, nodes: 3, families: ['ipv4', 'ipv6'], flags: FLAGS }, ({ here, done, on, readyNodes, machines }) => {
    it('has nodes of both', async () => {
      expect(await on('node01', 'systemd-detect-virt', '--container')).not.toBe('none\n');
      for (const node of ['node02', 'node03']) expect(await on(node, 'systemd-detect-virt', '--vm')).toMatch(/^(qemu|kvm)\n$/);
      expect((await besideQemu(name)).node).toEqual([]);
    });

    it.skipIf(isMissing('outside', outsideProblem()))(
      'reaches what this host serves on its network, and nothing of its loopback',
      async () => {
        for (const node of ['node01', 'node02']) await reachesHostButNotItsLoopback(await machines().node(node));
      },
    );

    it('stops in order, and starts with what it had', async () => {
      await on('node02', 'sh', '-c', 'echo kept >/var/lib/kept');
      expectStopInOrder(await here('stop', name, '--progress', 'json'), ['node02', 'node03'], ['node01']);
      expect(JSON.parse(await done('list', '--output', 'json'))).toMatchObject({ clusters: [{ name, condition: 'stopped' }] });
      await done('start', name, '--timeout', '40m');
      expect(await readyNodes()).toEqual(all);
      expect(await on('node02', 'cat', '/var/lib/kept')).toBe('kept\n');
    });

    it('heals after a power cut', async () => {
      await on('node03', 'sh', '-c', 'echo kept >/var/lib/kept && sync');
      await killVm(name, 'node03');
      await done('start', name, '--timeout', '40m');
      expect(await readyNodes()).toEqual(all);
      expect(await on('node03', 'cat', '/var/lib/kept')).toBe('kept\n');
    });

    it('loses a machine and gets another', async () => {
      await done('node', 'remove', 'node02', '--cluster', name);
      expect(await readyNodes()).toEqual(['node01', 'node03']);
      await done('node', 'add', '--cluster', name, '--timeout', '40m');
      expect(await readyNodes()).toEqual(all);
      expect((await here('ssh', 'node02', '--cluster', name, '--', 'test', '-e', '/var/lib/kept')).code).toBe(1);
    });
  });
});

describe.each(['ipv4', 'ipv6'] as const)('a cluster of both kinds, of %s only', (family) => {
  clusterContract({ name: `kvci-mixed-${family}`, nodes: 2, families: [family], flags: FLAGS });
});
