import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';

import { layoutTools, testLayout, writeImage } from '../../test/fixtures/image-layout.ts';
import { MemoryTree } from '../../test/fixtures/image-tree.ts';
import { shortDigest } from '../core/digest.ts';
import { type RunContext, runStep, type StepContext } from '../core/plan.ts';
import { systemClock } from '../host/clock.ts';
import { createArtifactStore } from '../host/store/artifact-store.ts';
import type { ContainerEngine } from '../host/types.ts';
import { loadArchive } from '../oci/archive-load.ts';
import { layersOf, readImage } from '../oci/image.ts';
import { createLayout } from '../oci/layout.ts';
import type { ImagePorts } from './ports.ts';
import { pinnedReference, provideBase, publishedBaseStep, readOsRelease, resolveBase } from './published-base.ts';

const scratch = mkdtempSync(join(tmpdir(), 'kvci-base-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const REF = 'localhost/team/base:1';
const tree = new MemoryTree({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } });
tree.file('usr/lib/os-release', 'ID=debian\n').file('usr/lib/systemd/systemd', 'elf');
const layout = await testLayout(scratch);
const image = await writeImage(layout, tree, REF);

const signal = new AbortController().signal;
const run: RunContext = { events: () => undefined, clock: systemClock, signal };
const ports = {
  store: createArtifactStore({ directories: { cache: join(scratch, 'cache') }, locks: layoutTools.locks, clock: systemClock }),
  layout: () => Promise.resolve(layout),
  layoutIn: (folder: string) => createLayout(folder, layoutTools),
  registry: () => Promise.reject(new Error('no registry is asked')),
} as unknown as ImagePorts;
const base = { kind: 'published', ref: REF, digest: image.digest } as const;

describe('a base whose name is of no registry', () => {
  it("is looked up in kvci's store", async () => {
    expect(await resolveBase(REF, ports, signal)).toBe(image.digest);
    await expect(resolveBase('localhost/team/other:1', ports, signal)).rejects.toMatchObject({
      code: 'image-not-found',
      exitCode: 5,
      hint: expect.stringContaining('podman save') as string,
    });
    await expect(resolveBase('localhost:5000/team/base:1', ports, signal)).rejects.toThrow('no registry is asked');
  });

  it('gives its layers and tells what it is', async () => {
    const { folder, layers } = await runStep(publishedBaseStep(base, 'amd64', ports), run);
    expect(layers).toEqual(layersOf(await readImage(layout, image.digest)));
    expect(layersOf(await readImage({ path: folder }, image.digest))).toEqual(layers);
    expect(await readOsRelease(base, 'amd64', ports, run)).toBe('ID=debian\n');
  });

  it('is refused for an architecture that it is not for', async () => {
    await expect(runStep(publishedBaseStep(base, 'arm64', ports), run)).rejects.toMatchObject({ code: 'platform-missing' });
  });

  it('is loaded into an engine under the name that FROM has, its layers as they are', async () => {
    const from = `localhost/kvci/base:${shortDigest(image.digest)}`;
    expect(pinnedReference(base)).toBe(from);
    const layers = await runStep(publishedBaseStep(base, 'amd64', ports), run);
    const loaded = await createLayout(join(scratch, 'engine'), layoutTools);
    const engine = {
      hasImage: () => Promise.resolve(false),
      load: (archive: Readable) => loadArchive(loaded, archive),
    } as unknown as ContainerEngine;
    await provideBase(base, layers, engine, ports, { signal, output: () => undefined, progress: () => undefined } satisfies StepContext);
    const diffIds = layersOf(await readImage(loaded, from)).map(({ diffId }) => diffId);
    expect(diffIds).toEqual(layers.layers.map(({ diffId }) => diffId));
  });
});
