import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { BuiltImage } from '../../src/cli/services.ts';
import { fileLocks } from '../../src/host/locks.ts';
import { systemClock } from '../../src/host/clock.ts';
import { tarStreamTar } from '../../src/host/adapters/tar-stream-tar.ts';
import { checkTree, factsFor } from '../../src/image/check/check.ts';
import { readImage, type ReadImage } from '../../src/image/check/read-image.ts';
import type { CheckReport } from '../../src/image/check/types.ts';
import type { ImageDifference } from '../../src/image/diff.ts';
import type { ImageInspection } from '../../src/image/inspect.ts';
import { openLayout } from '../../src/oci/layout.ts';
import { requireManifest } from '../../src/oci/manifests.ts';
import { kvci, type Run, temporaryFolder } from '../cli/run-kvci.ts';
import { dockerProblem, startDockerDaemon } from '../fixtures/docker-daemon.ts';
import { MemoryTree } from '../fixtures/image-tree.ts';
import { isMissing } from '../fixtures/needs.ts';
import { mutationsFor } from './image-check-mutations.ts';

/** The version that is built end to end; others are built by the whole suite of the part. */
const KUBERNETES = '1.36';
const TAG = 'localhost/kvci-test/node:e2e';

/** A build with the cache of whoever runs the tests: what is there already is reused, as for every user. */
const BUILD = ['image', 'build', '--k8s', KUBERNETES, '--payload', 'modules', '--engine', 'embedded', '--tag', TAG, '--output', 'json'];

function answer(run: Run): unknown {
  expect(run.code, run.stderr).toBe(0);
  return JSON.parse(run.stdout);
}

describe('kvci image build', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let built: BuiltImage;
  let here: { readonly cwd: string };

  beforeAll(async () => {
    folder = await temporaryFolder();
    here = { cwd: folder.path };
    built = answer(await kvci(BUILD, here)) as BuiltImage;
  });

  afterAll(async () => {
    await kvci(['image', 'rm', TAG], here);
    await folder[Symbol.asyncDispose]();
  });

  it('ends with a digest and a lock of all inputs', async () => {
    expect(built.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(built.kubernetes).toMatch(/^1\.36\.\d+$/);
    const lock = JSON.parse(await readFile(join(folder.path, 'kvci.lock'), 'utf8')) as {
      payloads: Record<string, { inputs: { go: string } }>;
    };
    expect(Object.keys(lock.payloads)).toEqual([`${KUBERNETES}/modules/${built.architecture}`]);
  });

  it('keeps to the bounds of size', () => {
    expect(built.size.unpacked).toBeLessThanOrEqual(1e9);
    expect(built.size.compressed).toBeLessThanOrEqual(350e6);
  });

  it('builds nothing when nothing changed, without network, and says so before', async () => {
    const plan = answer(await kvci([...BUILD, '--offline', '--dry-run'], here)) as { steps: { action: string }[] };
    expect(plan.steps.map(({ action }) => action)).not.toContain('run');
    const again = answer(await kvci([...BUILD, '--offline', '--locked'], here)) as BuiltImage;
    expect(again).toEqual({ ...built, reused: true });
  });

  it('rebuilds no layer for another label', async () => {
    const labelled = answer(await kvci([...BUILD, '--label', 'team=ci'], here)) as BuiltImage;
    expect(labelled.reused).toBe(true);
    expect(labelled.digest).not.toBe(built.digest);
    const [before, after] = await Promise.all(
      [built, labelled].map(
        async ({ digest }) => answer(await kvci(['image', 'inspect', digest, '--output', 'json'], here)) as ImageInspection,
      ),
    );
    expect(after!.sizes.layers).toEqual(before!.sizes.layers);
    expect(after!.labels['team']).toBe('ci');
    const compared = await kvci(['image', 'diff', built.digest, labelled.digest, '--output', 'json'], here);
    expect(compared.code).toBe(1);
    const difference = JSON.parse(compared.stdout) as ImageDifference;
    expect(difference.labels).toEqual([{ name: 'team', after: 'ci' }]);
    expect(difference.files).toEqual({ added: [], removed: [], changed: [] });
    answer(await kvci(['image', 'rm', labelled.digest, '--output', 'json'], here));
    answer(await kvci(BUILD, here));
  });

  it('holds all facts', async () => {
    const report = answer(await kvci(['image', 'check', built.digest, '--output', 'json'], here)) as CheckReport;
    expect(report.facts.filter(({ status }) => status === 'failed')).toEqual([]);
    expect(report.sizes.largest).toHaveLength(10);
  });

  it('says what KubeVirt needs and a cloud kernel lacks', async () => {
    const run = await kvci(['image', 'check', built.digest, '--require', 'kubevirt', '--output', 'json'], here);
    expect(run.code).toBe(1);
    const failed = (JSON.parse(run.stdout) as CheckReport).facts.filter(({ status }) => status === 'failed');
    expect(failed.map(({ id }) => id)).toEqual(['kubevirt-modules']);
    expect(failed[0]!.findings.map(({ message }) => message)).toEqual([expect.stringContaining('igb')]);
  });

  describe('with one fact broken', () => {
    let image: ReadImage;

    beforeAll(async () => {
      const cache = process.env['KVCI_CACHE_DIR'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'kvci');
      const layout = await openLayout(join(cache, 'images'), { tar: tarStreamTar, locks: fileLocks(systemClock) });
      image = await readImage(layout, await requireManifest(layout, built.digest), built.architecture);
    });

    it('fails by the name of that fact', async () => {
      const broken: Record<string, readonly string[]> = {};
      const facts = factsFor([]).map(({ id }) => id);
      const mutations = mutationsFor(image).filter(({ fact }) => facts.includes(fact));
      for (const { fact, title, mutate } of mutations) {
        const tree = MemoryTree.over(image);
        mutate(tree);
        const report = await checkTree(tree);
        broken[`${fact}: ${title}`] = report.facts.filter(({ status }) => status === 'failed').map(({ id }) => id);
      }
      expect(broken).toEqual(Object.fromEntries(mutations.map(({ fact, title }) => [`${fact}: ${title}`, [fact]])));
      expect(facts.filter((id) => !mutations.some(({ fact }) => fact === id))).toEqual([]);
    });
  });

  it('moves to another host and back as a file', async () => {
    const file = join(folder.path, 'node.tar');
    answer(await kvci(['image', 'save', TAG, file, '--output', 'json'], here));
    expect((await kvci(['image', 'save', TAG, file], here)).code).toBe(5);
    answer(await kvci(['image', 'rm', TAG, '--output', 'json'], here));
    expect((await kvci(['image', 'inspect', TAG], here)).code).toBe(5);
    expect(answer(await kvci(['image', 'load', file, '--output', 'json'], here))).toMatchObject({
      // Other tests may have given it names, too.
      images: expect.arrayContaining([expect.objectContaining({ digest: built.digest, tags: [TAG] })]) as object[],
    });
    await rm(file);
  });

  it('refuses with --locked what the lock does not hold', async () => {
    await using empty = await temporaryFolder();
    const missing = await kvci([...BUILD, '--locked'], { cwd: empty.path });
    expect(missing.code).toBe(2);
    expect(JSON.parse(missing.stdout)).toMatchObject({ error: { code: 'lock-missing' } });
    await copyFile(join(folder.path, 'kvci.lock'), join(empty.path, 'kvci.lock'));
    const other = await kvci([...BUILD, '--locked', '--package', 'tcpdump'], { cwd: empty.path });
    expect(other.code).toBe(2);
    expect(JSON.parse(other.stdout)).toMatchObject({ error: { code: 'lock-incomplete' } });
    await writeFile(join(empty.path, 'kvci.lock'), '{"version": 7}');
    expect((await kvci([...BUILD, '--locked'], { cwd: empty.path })).code).toBe(2);
  });

  const noDocker = isMissing('docker', dockerProblem());

  it.skipIf(noDocker)('gives the same image through a Docker daemon, built from nothing', async () => {
    await using docker = await startDockerDaemon();
    const through = [...BUILD, '--no-cache', '--locked'].map((word) => (word === 'embedded' ? `unix://${docker.socket}` : word));
    const other = answer(await kvci(through, here)) as BuiltImage;
    expect(other.reused).toBe(false);
    // The digest covers every path with its type, mode, owner, extended attributes and content.
    expect(other.digest).toBe(built.digest);
  });
});
