import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { BuiltDisk } from '../../../src/cli/services.ts';
import type { Digest } from '../../../src/core/digest.ts';
import { DISK_KIND } from '../../../src/disk/build-disk.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { chooseDirectories } from '../../../src/host/directories.ts';
import { fileLocks } from '../../../src/host/locks.ts';
import { createArtifactStore } from '../../../src/host/store/artifact-store.ts';
import { createLayout } from '../../../src/oci/layout.ts';
import { kvci, REPOSITORY, type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { withBootc } from '../../fixtures/bootc-image.ts';
import { copyFromStore } from '../../fixtures/container-machines.ts';
import { buildDoubles, doubleName } from '../../fixtures/converter-double/image.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { type RootfulPodman, startRootfulPodman } from '../../fixtures/rootful-podman.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { until } from '../../fixtures/traces.ts';

/* The converters in containers by the command line, their doubles in a Podman that looks like one that root of a host runs. */

const { cache } = chooseDirectories({ home: homedir(), xdgCacheHome: process.env['XDG_CACHE_HOME'], cache: process.env['KVCI_CACHE_DIR'] });
const locks = fileLocks(systemClock);

const problem =
  process.getuid?.() !== 0 ? 'all ids are given by root' : existsSync('/dev/loop-control') ? undefined : 'there is no /dev/loop-control';

describe.skipIf(isMissing('root', problem))('kvci disk build by a rootful Podman', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let podman: RootfulPodman;
  let env: Readonly<Record<string, string>>;
  const made = new Set<Digest>();

  beforeAll(async () => {
    folder = await temporaryFolder();
    env = { KVCI_STATE_DIR: join(folder.path, 'state'), KVCI_RUNTIME_DIR: join(folder.path, 'run') };
    const tools = await toolsTree();
    const { digest, store } = await nodeImage('1.31');
    const parts = { tar: tarStreamTar, locks };
    const all = await createLayout(join(folder.path, 'all'), parts);
    await copyFromStore(store, digest, all);
    const image = await withBootc(all, digest);
    await copyFromStore(all.path, image.descriptor.digest, await createLayout(join(folder.path, 'image'), parts));
    podman = await startRootfulPodman(tools, join(folder.path, 'podman'), cache);
    await buildDoubles(podman.engine, tools);
  });

  afterAll(async () => {
    const store = createArtifactStore({ directories: { cache }, locks, clock: systemClock });
    for (const artifact of await store.list()) if (artifact.kind === DISK_KIND && made.has(artifact.key)) await store.remove(artifact);
    await podman[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const words = (...more: readonly string[]): readonly string[] => [
    ...['disk', 'build', join(folder.path, 'image'), '--engine', podman.socket, '--size', '6G', '--offline'],
    ...more,
  ];
  const built = async (...more: readonly string[]): Promise<BuiltDisk & { readonly said: string }> => {
    const { code, stdout, stderr } = await kvci([...words(...more), '--output', 'json'], { cwd: folder.path, env });
    expect(code, stderr + stdout).toBe(0);
    const disk = JSON.parse(stdout) as BuiltDisk;
    made.add(disk.key);
    return { ...disk, said: stderr };
  };
  const left = async (...argv: readonly string[]): Promise<string> =>
    (await podman.sandbox.run(['podman', '--root', '/var/lib/containers/storage', ...argv])).stdout.trim();
  const expectNothingLeft = async (): Promise<void> => {
    expect(await left('ps', '--all', '--quiet')).toBe('');
    expect(await left('images', '--quiet', '--filter', 'reference=localhost/kvci/convert')).toBe('');
  };

  it.each([
    ['bootc-image-builder', 'bib-old'],
    ['image-builder', 'image-builder'],
  ] as const)('%s makes a disk, and the same again is found', async (converter, program) => {
    const asked = ['--converter', converter, '--converter-image', doubleName(program)];
    const disk = await built(...asked);
    expect(disk).toMatchObject({ converter, reused: false, size: 6e9 + (2 ** 20 - (6e9 % 2 ** 20)) });
    expect(await built(...asked)).toMatchObject({ path: disk.path, reused: true });
    await expectNothingLeft();
  });

  it('auto goes on to the next where one refuses, and says why', async () => {
    const { converter, said } = await built('--filesystem', 'xfs', '--converter-image', doubleName('image-builder'));
    expect(converter).toBe('image-builder');
    expect(said).toContain('converter: bootc-image-builder, because native cannot: ');
    expect(said).toMatch(/converter: image-builder, because native cannot: .*; bootc-image-builder cannot: /);
    await expectNothingLeft();
  });

  it('what a killed kvci left in Podman goes with the next prune', async () => {
    const asked = words('--converter', 'bootc-image-builder', '--converter-image', doubleName('bib-new'), '--karg', 'killed');
    const child = spawn(join(REPOSITORY, 'kvci'), asked, { cwd: folder.path, env: { ...process.env, ...env }, stdio: 'ignore' });
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`kvci ended with ${child.exitCode} before there was a converter`);
      return (await left('ps', '--quiet', '--filter', 'label=io.kvci.converter')) !== '';
    }, 5 * 60_000);
    child.kill('SIGKILL');
    const pruned: Run = await kvci(['prune'], { cwd: folder.path, env });
    expect(pruned.code, pruned.stderr).toBe(0);
    await expectNothingLeft();
  });
});
