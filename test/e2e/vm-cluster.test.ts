import { clusterContract } from '../fixtures/cluster-contract.ts';

/* A real cluster whose nodes are all virtual machines. What else they are asked is in test/full/part-4. */

clusterContract({ name: 'kvci-e2e-vms', nodes: 2, families: ['ipv4', 'ipv6'], flags: ['--provider', 'vm'] });
