import { expect, it } from 'vitest';

import { clusterContract } from '../fixtures/cluster-contract.ts';

/* A real cluster whose nodes are all virtual machines. What else they are asked is in test/full/part-4. */

clusterContract({ name: 'kvci-e2e-vms', nodes: 2, families: ['ipv4', 'ipv6'], flags: ['--provider', 'vm'] }, ({ on }) => {
  it('starts containers by crun where it is emulated, and by runc elsewhere', async () => {
    const emulated = (await on('node01', 'systemd-detect-virt')) === 'qemu\n';
    const config = await on('node01', 'containerd', 'config', 'dump');
    expect(/BinaryName = ['"]\/usr\/bin\/crun['"]/.test(config)).toBe(emulated);
  });
});
