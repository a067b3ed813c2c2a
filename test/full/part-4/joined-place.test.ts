import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { Secret } from '../../../src/core/secrets.ts';
import type { CommandRunner } from '../../../src/host/types.ts';
import { joinLan } from '../../../src/machine/net/lan-services.ts';
import { tapName } from '../../../src/machine/net/lan.ts';
import { joinedPlace } from '../../../src/machine/qemu/joined-place.ts';
import { type VmSandboxRecord, VmSandboxRecords } from '../../../src/machine/qemu/vm-record.ts';
import { endRecorded } from '../../../src/machine/qemu/vm-sandbox.ts';
import type { NodeAddresses } from '../../../src/machine/types.ts';
import { NETWORK } from '../../../src/sandbox/node-sandbox.ts';
import type { SandboxRecord } from '../../../src/sandbox/types.ts';
import { testSandboxes } from '../../fixtures/sandboxes.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';

/* Clusters whose machines share a sandbox and a network: what one leaves there when it ends, the others would live with. */

const NEVER = new AbortController().signal;

it.each<[string, readonly NodeAddresses[]]>([
  [
    'of both families',
    [
      { ipv4: '10.89.1.12', ipv6: 'fd00:6b76:6369:1::12' },
      { ipv4: '10.89.2.12', ipv6: 'fd00:6b76:6369:2::12' },
    ],
  ],
  ['of IPv6 alone', [{ ipv6: 'fd00:6b76:6369:1::12' }, { ipv6: 'fd00:6b76:6369:2::12' }]],
])('a cluster %s takes its devices out of the network that the others go on in', async (_families, nodes) => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-joined-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const sandboxes = testSandboxes(await toolsTree(), folder);
  await using box = await sandboxes.start({ name: 'test', binds: [], network: 'host', cgroups: false, signal: NEVER });
  await box.run(['sh', '-c', `mkdir -p /run/netns && : >${NETWORK} && unshare --net=${NETWORK} ip link set lo up`]);
  const network: CommandRunner = {
    where: 'test',
    run: (argv, options) => box.run(['nsenter', `--net=${NETWORK}`, ...argv], options),
  };
  const taps = async (): Promise<readonly string[]> =>
    [...(await network.run(['ip', '-brief', 'link'])).stdout.matchAll(/^tap-\S+/gm)].map(([name]) => name);
  const records = new VmSandboxRecords({ state: folder }, 'cluster-machines');
  const clusters: VmSandboxRecord[] = [];
  for (const [index, addresses] of nodes.entries()) {
    const bridge = `br${index}`;
    await network.run(['sh', '-c', `mkdir -p /run/kvci/net/leases /run/kvci/net/names && ip link add ${bridge} type bridge`]);
    await joinLan(network, 'node02', addresses, { joined: { bridge } }, NEVER);
    clusters.push(recordOf(`lab${index}`, join(folder, `lab${index}`), addresses, bridge, box.record));
    await box.run(['mkdir', '-p', joinedPlace(`lab${index}`)]);
  }
  const names = nodes.map((addresses) => tapName(addresses));
  expect((await taps()).toSorted()).toEqual(names.toSorted());
  for (const [index, record] of clusters.entries()) {
    // The second time there is nothing left of it.
    for (const _time of [1, 2]) await endRecorded({ sandboxes }, records, record);
    expect(await taps()).toEqual(names.slice(index + 1));
  }
});

function recordOf(name: string, folder: string, addresses: NodeAddresses, bridge: string, sandbox: SandboxRecord): VmSandboxRecord {
  return {
    version: 1,
    name,
    createdAt: '2026-11-26T10:00:00.000Z',
    source: `cluster ${name}, run test`,
    folder,
    lan: { families: ['ipv6'], routerAdvertisements: false, dhcpDelaySeconds: 0, joined: { bridge } },
    key: { privateKey: new Secret('none'), publicKey: 'none' },
    sandbox,
    keep: true,
    binds: [],
    machines: { node02: { addresses, accelerator: 'tcg', firmware: 'direct', cpus: 1, memory: 2 ** 30 } },
  };
}
