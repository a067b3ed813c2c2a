import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { StepContext } from '../../../src/core/plan.ts';
import { BOOTC_IMAGE_BUILDER } from '../../../src/disk/bootc-image-builder.ts';
import { containerConverter } from '../../../src/disk/container/converter.ts';
import type { ConverterEngine, Dialect } from '../../../src/disk/container/types.ts';
import { IMAGE_BUILDER } from '../../../src/disk/image-builder.ts';
import type { DiskConverter, DiskRequest } from '../../../src/disk/types.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { NO_CREDENTIALS } from '../../../src/host/engine/registry-credentials.ts';
import { fileLedger } from '../../../src/host/ledger.ts';
import { fileLocks } from '../../../src/host/locks.ts';
import { readTemplates } from '../../../src/image/sources.ts';
import { type Image, readImage } from '../../../src/oci/image.ts';
import { createLayout, type ImageLayout } from '../../../src/oci/layout.ts';
import type { Architecture } from '../../../src/payload/types.ts';
import { withBootc } from '../../fixtures/bootc-image.ts';
import { copyFromStore } from '../../fixtures/container-machines.ts';
import { ALL, converterEngine, type Pretence } from '../../fixtures/converter-engine.ts';
import { buildDoubles, doubleName } from '../../fixtures/converter-double/image.ts';
import type { Program } from '../../fixtures/converter-double/rules.ts';
import { type EmbeddedPodman, startEmbeddedPodman } from '../../fixtures/embedded-podman.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';

/*
 * The drivers of the converters in containers against their double (test/fixtures/converter-double): the real ones cannot be had
 * everywhere. The double checks all that it is given, and makes real disks.
 */

const NEVER = new AbortController().signal;
const GIB = 2 ** 30;
const locks = fileLocks(systemClock);

const PROGRAMS: readonly (readonly [Program, Dialect])[] = [
  ['bib-old', BOOTC_IMAGE_BUILDER],
  ['bib-new', BOOTC_IMAGE_BUILDER],
  ['image-builder', IMAGE_BUILDER],
];

let folder: string;
let podman: EmbeddedPodman;
let layout: ImageLayout;
let plain: Image;
let image: Image;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-converters-'));
  const tools = await toolsTree();
  const { digest, store } = await nodeImage('1.31');
  layout = await createLayout(join(folder, 'images'), { tar: tarStreamTar, locks });
  await copyFromStore(store, digest, layout);
  plain = await readImage(layout, digest);
  image = await withBootc(layout, digest);
  podman = await startEmbeddedPodman(tools, join(folder, 'cache'), NO_CREDENTIALS);
  await buildDoubles(podman.engine, tools);
});

afterAll(async () => {
  await podman.remove();
  await rm(folder, { recursive: true, force: true });
});

function engine(pretence?: Pretence): Promise<ConverterEngine> {
  return converterEngine(podman, join(folder, 'cache'), pretence);
}

function converter(dialect: Dialect, openEngine: () => Promise<ConverterEngine> = () => engine()): DiskConverter {
  return containerConverter(dialect, {
    resolve: () => Promise.reject(new Error('no registry is needed')),
    offline: true,
    openEngine,
    templates: () => readTemplates(new URL('../../../templates', import.meta.url).pathname),
    directories: { cache: join(folder, 'cache') },
    locks,
    ledger: fileLedger({ state: join(folder, 'state') }),
    clock: systemClock,
    user: { uid: 0, gid: 0 },
  });
}

function request(program: Program, more: Partial<DiskRequest> = {}, from = image): DiskRequest {
  return {
    source: { image: from, layout, architecture: from.config.architecture as Architecture },
    format: 'qcow2',
    size: 6 * GIB,
    filesystem: 'ext4',
    kargs: ['quiet'],
    sshKeys: ['ssh-ed25519 AAAA one@test'],
    converterImage: doubleName(program),
    ...more,
  };
}

interface Told {
  readonly lines: string[];
  readonly seen: { done: number; total: number | undefined; message: string | undefined }[];
}

function context(signal = NEVER, onLine: (line: string) => void = () => undefined): StepContext & Told {
  const told: Told = { lines: [], seen: [] };
  return {
    ...told,
    signal,
    output: (line) => {
      told.lines.push(line);
      onLine(line);
    },
    progress: (done, total, _unit, message) => {
      told.seen.push({ done, total, message });
    },
  };
}

async function convert(
  by: DiskConverter,
  wanted: DiskRequest,
  step: StepContext = context(),
): Promise<{ readonly file: string; readonly made: string }> {
  // Where the engine's sandbox sees it, as /var/tmp.
  const made = join(folder, 'cache/engine/scratch/made');
  await rm(made, { recursive: true, force: true });
  await mkdir(made);
  const { file } = await by.convert(wanted, made, step);
  return { file, made };
}

/** Nothing of a conversion is in the engine or on the disk any more. */
async function expectNothingLeft(): Promise<void> {
  const podmanSays = async (...words: readonly string[]): Promise<string> => (await podman.sandbox.run(['podman', ...words])).stdout.trim();
  expect(await podmanSays('ps', '--all', '--quiet')).toBe('');
  expect(await podmanSays('volume', 'ls', '--quiet')).toBe('');
  expect(await podmanSays('images', '--quiet', '--filter', 'reference=localhost/kvci/convert')).toBe('');
  expect((await readdir(join(folder, 'cache/engine/scratch'))).filter((name) => name.startsWith('.convert-'))).toEqual([]);
  expect(await fileLedger({ state: join(folder, 'state') }).orphans()).toEqual([]);
}

describe.each(PROGRAMS)('the double of %s', (program, dialect) => {
  it('makes a disk of what the driver gives it', async () => {
    const by = converter(dialect);
    const wanted = request(program);
    expect(await by.unfit(wanted, NEVER)).toBeUndefined();
    expect(await by.identity(wanted, NEVER)).toMatchObject({ image: expect.stringMatching(/@sha256:[0-9a-f]{64}$/) as string });
    const step = context();
    const { file, made } = await convert(by, wanted, step);
    expect(await readdir(made)).toEqual([file]);
    expect(await qemuInfo(file)).toMatchObject({ format: 'qcow2', 'virtual-size': 6 * GIB });
    expect(step.seen.length).toBeGreaterThan(0);
    expect(step.seen.every(({ total }) => total !== undefined)).toBe(true);
    await expectNothingLeft();
  });
});

it('a raw disk, and xfs as far as the arguments: the double makes ext4', async () => {
  const step = context();
  const { file } = await convert(converter(BOOTC_IMAGE_BUILDER), request('bib-new', { format: 'raw', filesystem: 'xfs' }), step);
  expect(step.lines).toContain('the double makes ext4 where xfs is asked for');
  expect(await qemuInfo(file)).toMatchObject({ format: 'raw', 'virtual-size': 6 * GIB });
  await expectNothingLeft();
});

describe('refused by the driver, by name', () => {
  it('an engine that keeps images elsewhere', async () => {
    const by = converter(BOOTC_IMAGE_BUILDER, () => engine({}));
    expect(await by.unfit(request('bib-new'), NEVER)).toMatchObject({ code: 'converter-storage-elsewhere' });
    await expect(convert(by, request('bib-new'))).rejects.toMatchObject({ code: 'converter-storage-elsewhere' });
  });

  it.each<[string, Dialect, Pretence, () => DiskRequest, string]>([
    ['an engine in a user namespace', BOOTC_IMAGE_BUILDER, { storage: true }, () => request('bib-new'), 'converter-user-namespace'],
    ['plain debian-13, which has no bootc', BOOTC_IMAGE_BUILDER, ALL, () => request('bib-new', {}, plain), 'image-lacks-bootc'],
    ['image-builder for the other', BOOTC_IMAGE_BUILDER, ALL, () => request('image-builder'), 'not-this-converter'],
    ['bootc-image-builder for the other', IMAGE_BUILDER, ALL, () => request('bib-new'), 'not-this-converter'],
    ['too small a disk', IMAGE_BUILDER, ALL, () => request('image-builder', { size: 2 * GIB }), 'disk-too-small'],
  ])('%s', async (_name, dialect, pretence, wanted, code) => {
    await expect(
      convert(
        converter(dialect, () => engine(pretence)),
        wanted(),
      ),
    ).rejects.toMatchObject({ code });
    await expectNothingLeft();
  });

  it('a converter that is nowhere', async () => {
    const wanted = { ...request('bib-new'), converterImage: 'localhost/kvci-test/nowhere:1' };
    expect(await converter(BOOTC_IMAGE_BUILDER).unfit(wanted, NEVER)).toMatchObject({ code: 'converter-image-missing' });
  });
});

describe('what goes wrong on the way', () => {
  /** Does something when the conversion has begun. */
  const begun = (act: () => void, signal = NEVER): StepContext => {
    let acted = false;
    return context(signal, (line) => {
      if (acted || !line.startsWith('org.osbuild.')) return;
      acted = true;
      act();
    });
  };

  it('the container is killed', async () => {
    const step = begun(() => void podman.sandbox.run(['podman', 'kill', '--all']).catch(() => undefined));
    await expect(convert(converter(BOOTC_IMAGE_BUILDER), request('bib-new'), step)).rejects.toMatchObject({ code: 'converter-killed' });
    await expectNothingLeft();
  });

  it('kvci is cancelled', async () => {
    const controller = new AbortController();
    const step = begun(() => {
      controller.abort();
    }, controller.signal);
    await expect(convert(converter(BOOTC_IMAGE_BUILDER), request('bib-new'), step)).rejects.toMatchObject({ code: 'cancelled' });
    await expectNothingLeft();
  });

  it.each<[string, Pretence]>([
    ['seen before', ALL],
    ['met on the way', { ...ALL, space: true }],
  ])('no space for the disk, %s', async (_name, pretence) => {
    const inside = '/run/small';
    await podman.sandbox.run(['mkdir', '-p', inside]);
    await podman.sandbox.run(['mount', '-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', inside]);
    const small = async (): Promise<ConverterEngine> => ({
      ...(await engine(pretence)),
      workspace: () =>
        Promise.resolve({
          path: podman.sandbox.outside(inside),
          enginePath: inside,
          [Symbol.asyncDispose]: () => podman.sandbox.run(['umount', '--lazy', inside]).then(() => undefined),
        }),
    });
    await expect(convert(converter(BOOTC_IMAGE_BUILDER, small), request('bib-new'))).rejects.toMatchObject({ code: 'disk-full' });
    await expectNothingLeft();
  });
});

/** What QEMU says of a disk that {@link convert} made. */
async function qemuInfo(file: string): Promise<unknown> {
  const { stdout } = await podman.sandbox.run(['qemu-img', 'info', '--output=json', `/var/tmp/made/${file}`]);
  return JSON.parse(stdout);
}
