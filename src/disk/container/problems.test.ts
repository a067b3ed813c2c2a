import { describe, expect, it } from 'vitest';

import type { EngineInfo } from '../../host/types.ts';
import { BOOTC_IMAGE_BUILDER } from '../bootc-image-builder.ts';
import { IMAGE_BUILDER } from '../image-builder.ts';
import type { DiskRequest } from '../types.ts';
import type { NodeImageFacts } from './node-image.ts';
import {
  converterProblem,
  engineMissing,
  engineProblem,
  imageFilesProblem,
  imageProblem,
  ownEngine,
  surroundingsProblem,
} from './problems.ts';
import type { Surroundings } from './surroundings.ts';
import type { ConverterProbe, Dialect } from './types.ts';

const GIB = 2 ** 30;

const ENGINE: EngineInfo = { name: 'podman', version: '5.4.2', rootless: false, origin: 'rootful Podman socket', architecture: 'amd64' };
const IMAGE: NodeImageFacts = {
  bootc: true,
  lsinitrd: true,
  rootFilesystem: undefined,
  unpacked: 1.7 * GIB,
};
const AROUND: Surroundings = {
  rootId: 0,
  ids: 4_294_967_295,
  sysWritable: true,
  overlayStorage: true,
  loopDevices: true,
  selinux: 'off',
  storage: { type: 'ext2/ext3', free: 20 * GIB, id: 'a' },
  output: { type: 'xfs', free: 20 * GIB, id: 'b' },
};
// Of the source only the architecture is asked.
const REQUEST = {
  source: { architecture: 'amd64' },
  format: 'qcow2',
  size: 10 * GIB,
  filesystem: 'ext4',
  kargs: [],
  sshKeys: [],
} as unknown as DiskRequest;

it('no engine', () => {
  const error = engineMissing(['nobody answers at /run/podman/podman.sock']);
  expect(error).toMatchObject({
    code: 'converter-engine-missing',
    reason: 'hostNotReady',
    message: expect.stringContaining('podman.sock') as string,
  });
});

it("kvci's own engine", () => {
  expect(ownEngine()).toMatchObject({ code: 'converter-user-namespace', reason: 'hostNotReady' });
});

describe('engines', () => {
  const overlay = { driver: 'overlay', root: '/var/lib/containers/storage' };
  it.each<[string, Partial<EngineInfo>, string, string | undefined]>([
    ['a rootful Podman that keeps images by overlay', {}, 'overlay', undefined],
    ['Docker', { name: 'docker' }, 'overlay2', 'converter-needs-podman'],
    ['a rootless Podman', { rootless: true }, 'overlay', 'converter-engine-rootless'],
    ['vfs', {}, 'vfs', 'converter-storage-driver'],
    ['btrfs', {}, 'btrfs', 'converter-storage-driver'],
    ['zfs', {}, 'zfs', 'converter-storage-driver'],
  ])('%s', (_name, info, driver, code) => {
    expect(engineProblem({ ...ENGINE, ...info }, { ...overlay, driver })?.code).toBe(code);
  });

  it('images kept elsewhere', () => {
    expect(engineProblem(ENGINE, { ...overlay, root: '/srv/containers' })?.code).toBe('converter-storage-elsewhere');
  });
});

describe('node images', () => {
  it.each<[string, Partial<NodeImageFacts>, Partial<DiskRequest>, string | undefined]>([
    ['all there', {}, {}, undefined],
    ['no bootc', { bootc: false }, {}, 'image-lacks-bootc'],
    ['no lsinitrd', { lsinitrd: false }, {}, 'image-lacks-lsinitrd'],
    ['its own disk.yaml asks for another file system', { rootFilesystem: 'btrfs' }, {}, 'image-sets-filesystem'],
    ['its own disk.yaml asks for the same', { rootFilesystem: 'ext4' }, {}, undefined],
    ['xfs', {}, { filesystem: 'xfs' }, undefined],
    ['a disk that is too small', {}, { size: 3 * GIB }, 'disk-too-small'],
    ['a disk smaller than what is beside the root', {}, { size: GIB }, 'disk-too-small'],
  ])('%s', (_name, facts, request, code) => {
    expect(imageFilesProblem({ ...REQUEST, ...request }, { ...IMAGE, ...facts })?.code).toBe(code);
  });
});

it.each([
  ['as it should be', '1', 'amd64', undefined],
  ['no label', undefined, 'amd64', 'not-a-bootc-image'],
  ['a label that says no', '0', 'amd64', 'not-a-bootc-image'],
  ['another architecture', '1', 'arm64', 'wrong-architecture'],
])('a node image with %s', (_name, label, architecture, code) => {
  const config = { architecture, config: { Labels: label === undefined ? {} : { 'containers.bootc': label } } };
  const source = { image: { config }, architecture: 'amd64' } as unknown as DiskRequest['source'];
  expect(imageProblem(source)?.code).toBe(code);
});

describe('converters', () => {
  const flags = (...names: readonly string[]): ConverterProbe => ({
    version: ['v1'],
    flags: new Map(names.map((name) => [name, 'string'])),
  });
  const whole = (dialect: Dialect): ConverterProbe => flags(dialect.mark, ...dialect.needs);
  it.each<[string, Dialect, string, ConverterProbe, string | undefined]>([
    ['bootc-image-builder', BOOTC_IMAGE_BUILDER, 'amd64', whole(BOOTC_IMAGE_BUILDER), undefined],
    ['image-builder', IMAGE_BUILDER, 'amd64', whole(IMAGE_BUILDER), undefined],
    ['one for another architecture', IMAGE_BUILDER, 'arm64', whole(IMAGE_BUILDER), 'wrong-architecture'],
    ['the other one', IMAGE_BUILDER, 'amd64', whole(BOOTC_IMAGE_BUILDER), 'not-this-converter'],
    ['the one for the other', BOOTC_IMAGE_BUILDER, 'amd64', whole(IMAGE_BUILDER), 'not-this-converter'],
    ['a program without flags', BOOTC_IMAGE_BUILDER, 'amd64', flags(), 'not-this-converter'],
    ['one that is too old', IMAGE_BUILDER, 'amd64', flags('--bootc-ref', '--blueprint'), 'converter-flag-missing'],
  ])('%s', (_name, dialect, architecture, probe, code) => {
    expect(converterProblem(dialect, 'localhost/c:1', REQUEST, { architecture }, probe)?.code).toBe(code);
  });
});

describe('what is around a converter', () => {
  const small = { type: 'xfs', free: GIB };
  it.each<[string, Partial<Surroundings>, string | undefined]>([
    ['all there', {}, undefined],
    ['root is an ordinary user', { rootId: 1000 }, 'converter-engine-rootless'],
    ['a user namespace with root in it', { ids: 65_536 }, 'converter-user-namespace'],
    ['no privileges', { sysWritable: false }, 'converter-not-privileged'],
    ['no storage', { overlayStorage: false }, 'converter-storage-missing'],
    ['no loop devices', { loopDevices: false }, 'converter-no-loop-devices'],
    ['SELinux without the policy', { selinux: 'no-policy' }, 'converter-selinux-policy'],
    ['SELinux with it', { selinux: 'policy' }, undefined],
    ['images on ZFS', { storage: { ...AROUND.storage, type: 'zfs' } }, 'converter-on-zfs'],
    ['disks on ZFS', { output: { ...AROUND.output, type: 'zfs' } }, 'converter-on-zfs'],
    ['no space for images', { storage: { ...small, id: 'a' } }, 'disk-full'],
    ['no space for the disk', { output: { ...small, id: 'b' } }, 'disk-full'],
    ['both on one file system with space for one', ones(4 * GIB), 'disk-full'],
    ['both on one file system with space for both', ones(6 * GIB), undefined],
  ])('%s', (_name, around, code) => {
    expect(surroundingsProblem({ ...AROUND, ...around }, IMAGE.unpacked)?.code).toBe(code);
  });

  function ones(free: number): Partial<Surroundings> {
    const place = { type: 'xfs', free, id: 'a' };
    return { storage: place, output: place };
  }
});

it('every problem says what to do', () => {
  const problems = [
    engineProblem({ ...ENGINE, name: 'docker' }, { driver: 'overlay2', root: '/' }),
    imageFilesProblem(REQUEST, { ...IMAGE, bootc: false }),
    surroundingsProblem({ ...AROUND, loopDevices: false }, 1),
  ];
  for (const problem of problems) expect(problem?.hint).toMatch(/native/);
});
