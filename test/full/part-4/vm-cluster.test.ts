import { once } from 'node:events';
import { createConnection } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';

import type { NodeHandle } from '../../../src/machine/types.ts';
import { clusterContract } from '../../fixtures/cluster-contract.ts';
import { expectStopInOrder } from '../../fixtures/stop-order.ts';
import { providerDifferences } from '../../fixtures/provider-differences.ts';
import { startKvci } from '../../fixtures/started-kvci.ts';
import { besideQemu } from '../../fixtures/vm-memory.ts';

/*
 * A cluster of virtual machines only, in namespaces, of whoever runs this; dual stack. Emulated it takes many minutes and a quiet host,
 * so that one serves for all. In a container, with IPv4 only: vm-in-container.test.ts; of an ordinary user, with IPv6 only:
 * vm-user.test.ts; with a control plane that is a container, and nodes that come and go: vm-families.test.ts.
 */

const NAME = 'kvci-vms';
const SMALL = { index: 2, cpus: 1, disk: 12e9 };

clusterContract(
  {
    name: NAME,
    nodes: 2,
    families: ['ipv4', 'ipv6'],
    flags: ['--provider', 'vm', '--vnc'],
    config: () =>
      `cluster:\n  nodes: 2\n  overrides:\n    node02: { cpus: ${SMALL.cpus}, diskSize: ${SMALL.disk / 1e9}G, kargs: [kvci.test=1] }\n`,
  },
  ({ folder, here, done, on, readyNodes, machines }) => {
    describe('a node that was asked to be other than the others', () => {
      let node: NodeHandle;

      beforeAll(async () => {
        node = await machines().node('node02');
      });

      providerDifferences({ provider: 'vm', machines, node: () => node, asked: SMALL });

      it('has its own kernel arguments', async () => {
        expect(await on('node02', 'cat', '/proc/cmdline')).toContain(' kvci.test=1');
        expect(await on('node01', 'cat', '/proc/cmdline')).not.toContain('kvci.test');
      });
    });

    it('shows consoles and screens', async () => {
      for (const node of ['node01', 'node02']) {
        const seen = startKvci(['console', node, '--cluster', NAME], { cwd: folder() });
        seen.child.stdout?.on('data', (piece: Buffer) => {
          if (piece.includes('Linux version')) seen.child.kill('SIGINT');
        });
        expect((await seen.ended()).code).toBe(130);
      }
      const { vnc } = JSON.parse(await done('console', 'node01', '--vnc', '--cluster', NAME, '--output', 'json')) as {
        readonly vnc: string;
      };
      const screen = createConnection(vnc);
      expect(String(await once(screen, 'data'))).toMatch(/^RFB 003/);
      screen.destroy();
    });

    it('takes little beside QEMU, and no kvci stays', async () => {
      const { bytes, programs, node } = await besideQemu(NAME);
      expect(node).toEqual([]);
      expect(programs).toEqual(expect.arrayContaining(['dnsmasq', 'haproxy', 'pasta']));
      expect(bytes).toBeGreaterThan(0);
      expect(bytes).toBeLessThanOrEqual(150e6);
    });

    it('stops in order, and starts with what it had', async () => {
      await on('node02', 'sh', '-c', 'echo kept >/var/lib/kept');
      expectStopInOrder(await here('stop', NAME, '--progress', 'json'), ['node02'], ['node01']);
      expect(JSON.parse(await done('list', '--output', 'json'))).toMatchObject({ clusters: [{ name: NAME, condition: 'stopped' }] });
      await done('start', NAME, '--timeout', '40m');
      expect(await readyNodes()).toEqual(['node01', 'node02']);
      expect(await on('node02', 'cat', '/var/lib/kept')).toBe('kept\n');
    });
  },
);
