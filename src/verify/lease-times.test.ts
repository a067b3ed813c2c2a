import { mkdtempDisposable, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { systemClock } from '../host/clock.ts';
import { until } from '../../test/fixtures/traces.ts';
import { leasedFamilies, watchLeases } from './lease-times.ts';

const ADDRESSES = { ipv4: '192.168.66.101', ipv6: 'fd00::101' };

/** As dnsmasq writes them. */
const IPV4 = '0 52:54:00:04:42:65 192.168.66.101 node01 01:52:54:00:04:42:65\n';
const IPV6 = 'duid 00:01:00:01:32:00\n0 4523876 fd00::101 node01 00:03:00:01:52:54:00:04:42:65\n';

it.each([
  ['', []],
  [IPV4, ['ipv4']],
  [IPV6, ['ipv6']],
  [IPV4 + IPV6, ['ipv4', 'ipv6']],
  [IPV4.replace('.101', '.1'), []],
])('%j', (leases, families) => {
  expect(leasedFamilies(leases, ADDRESSES)).toEqual(families);
});

it('addresses are seen as they come', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-leases-'));
  const file = join(folder.path, 'leases');
  const put = async (text: string): Promise<void> => {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  };
  using watch = watchLeases(file, ADDRESSES, systemClock);
  expect(watch.seen()).toEqual({});
  await put(IPV6);
  await until(() => Promise.resolve(watch.seen().ipv6 !== undefined));
  const { ipv6 = 0 } = watch.seen();
  await put(IPV4 + IPV6);
  await until(() => Promise.resolve(watch.seen().ipv4 !== undefined));
  expect(watch.seen()).toMatchObject({ ipv6 });
  expect(watch.seen().ipv4).toBeGreaterThan(ipv6);
});
