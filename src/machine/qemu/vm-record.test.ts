import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { Secret } from '../../core/secrets.ts';
import { type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';

let state: string;
let records: VmSandboxRecords;

beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), 'kvci-vm-record-'));
  records = new VmSandboxRecords({ state });
});

afterAll(() => rm(state, { recursive: true }));

const pair = (name: string) => ({ privateKey: new Secret(`private ${name}\n`), publicKey: `ssh-ed25519 ${name}` });

const record: VmSandboxRecord = {
  version: 1,
  name: 'lab',
  createdAt: '2026-11-26T10:00:00.000Z',
  source: '/disks/node.qcow2',
  kind: 'container',
  engine: '/run/docker.sock',
  folder: '/cache/machines/lab-00',
  lan: { families: ['ipv4'], routerAdvertisements: true, dhcpDelaySeconds: 0 },
  key: pair('user'),
  keep: true,
  binds: [{ host: '/disks', inside: '/files/0' }],
  sandbox: { name: 'machines lab', pid: 1, startTime: 'b/1', namespace: 'pid:[1]', network: 'private', tools: '/tools' },
  machines: {
    node01: {
      addresses: { ipv4: '192.168.66.101' },
      hostKey: pair('node01'),
      accelerator: 'tcg',
      firmware: 'uefi',
      cpus: 2,
      memory: 2 ** 31,
      saved: { disks: 1, folder: 'saved-ready-01', keys: { user: pair('earlier'), host: pair('earlier node01') } },
    },
    node02: { addresses: { ipv4: '192.168.66.102' }, accelerator: 'tcg', firmware: 'direct', cpus: 1, memory: 2 ** 30 },
  },
};

it('what is known of machines is read as it was written, keys included, by nobody else', async () => {
  expect(await records.find('lab')).toBeUndefined();
  expect(await records.list()).toEqual([]);
  await records.write(record);
  const found = await records.find('lab');
  expect(found).toEqual(record);
  expect(found?.machines['node01']?.hostKey?.privateKey.reveal()).toBe('private node01\n');
  expect(found?.machines['node01']?.saved?.keys?.user.privateKey.reveal()).toBe('private earlier\n');
  expect((await stat(records.path('lab'))).mode & 0o777).toBe(0o600);
  await records.write({ ...record, name: 'a' });
  expect((await records.list()).map(({ name }) => name)).toEqual(['a', 'lab']);
  await records.remove('lab');
  await records.remove('lab');
  expect(await records.find('lab')).toBeUndefined();
});
