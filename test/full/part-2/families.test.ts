import { describe } from 'vitest';

import { clusterContract } from '../../fixtures/cluster-contract.ts';

/* What all clusters are asked, of containers, in each family. With virtual machines: test/full/part-4. */

describe.each([['ipv4'], ['ipv6'], ['ipv4', 'ipv6']] as const)('a cluster of containers with %s %s', (...families) => {
  clusterContract({ name: `kvci-${families.join('-')}`, nodes: 2, families, flags: ['--provider', 'kind'] });
});
