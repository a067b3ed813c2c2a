import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { Secret } from '../../core/secrets.ts';
import { systemClock } from '../../host/clock.ts';
import type { CommandRunner } from '../../host/types.ts';
import { readTemplates } from '../../image/sources.ts';
import type { DetachedSandbox, NamespacesRecord } from '../../sandbox/types.ts';
import { VmSandboxRecords } from '../qemu/vm-record.ts';
import { type EnginePlacesParts, enginePlaces } from './engine-places.ts';

const NEVER = new AbortController().signal;
const ENGINE: NamespacesRecord = { name: 'engine', pid: 7, startTime: 'b/1', namespace: 'pid:[1]', network: 'private' };

it('a place that a killed kvci left unfinished is no place, and is made anew', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-places-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const ran: string[] = [];
  let reached: () => void = () => undefined;
  let hangs = true;
  const run: CommandRunner['run'] = (argv) => {
    const line = argv.join(' ');
    ran.push(
      line.includes('unshare --mount') ? 'make' : line.includes('kill -KILL') ? 'end' : (argv.find((word) => word === 'haproxy') ?? ''),
    );
    if (!hangs) return Promise.resolve({ argv, exitCode: 0, stdout: 'podman1\n', stderr: '', ms: 1 });
    reached();
    return new Promise(() => undefined);
  };
  const sandbox: DetachedSandbox = { where: 'engine', record: ENGINE, outside: (path) => path, run, end: () => Promise.resolve() };
  const network: CommandRunner = {
    where: 'network',
    run: (argv) => Promise.resolve({ argv, exitCode: 0, stdout: 'podman1\n', stderr: '', ms: 1 }),
  };
  const directories = { cache: join(folder, 'cache'), state: join(folder, 'state') };
  const parts = {
    directories,
    engine: { sandbox, network },
    sandboxes: { find: () => Promise.resolve(sandbox) },
    network: () => Promise.resolve({ ipv4: '10.89.0.0/24' }),
    ssh: { newKeyPair: () => ({ privateKey: new Secret('x'), publicKey: 'y' }) },
    templates: await readTemplates(new URL('../../../templates', import.meta.url).pathname),
    clock: systemClock,
    events: () => undefined,
  } as unknown as EnginePlacesParts;
  const records = new VmSandboxRecords(directories, 'cluster-machines');
  const lan = { families: ['ipv4'], routerAdvertisements: true, dhcpDelaySeconds: 0 } as const;
  const files = [join(directories.cache, 'artifacts', 'disk', 'disk.qcow2')];
  const killed = new Promise<void>((resolve) => (reached = resolve));
  void enginePlaces(parts, records).start({ name: 'lab', source: 'x', lan, files, keep: true, signal: NEVER });
  await killed;

  hangs = false;
  const places = enginePlaces(parts, records);
  const left = (await records.find('lab'))!;
  expect(await places.open(left)).toBeUndefined();
  await rm(left.folder, { recursive: true });
  await places.restart(left, files, NEVER);
  expect(ran.filter((what) => what !== '')).toEqual(['make', 'end', 'make', 'haproxy']);
  expect(existsSync(left.folder)).toBe(true);
  expect((await places.open((await records.find('lab'))!))?.record).toEqual(await records.find('lab'));
});
