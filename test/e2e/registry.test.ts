import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it } from 'vitest';

import { undiciHttp } from '../../src/host/adapters/undici-http.ts';
import { assembleImage, imageTree, readImage } from '../../src/oci/image.ts';
import { writeLayer } from '../../src/oci/layer.ts';
import { parseReference } from '../../src/oci/reference.ts';
import { pullImage, pushImage } from '../../src/oci/registry-transfer.ts';
import { RegistryClient } from '../../src/oci/registry.ts';
import { diffTrees } from '../../src/oci/tree.ts';
import { debianPrograms } from '../fixtures/debian-programs.ts';
import { scratchLayout, treeEntry } from '../fixtures/layouts.ts';
import { isMissing } from '../fixtures/needs.ts';

const folder = await mkdtemp(join(tmpdir(), 'kvci-registry-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Debian's build of the registry that everyone runs, on a port of its own. */
async function startRegistry(): Promise<{ readonly host: string; readonly stop: () => Promise<void> }> {
  const programs = await debianPrograms('docker-registry');
  await mkdir(join(folder, 'data'));
  const config = `version: 0.1\nstorage: {filesystem: {rootdirectory: ${JSON.stringify(join(folder, 'data'))}}}\nhttp: {addr: "127.0.0.1:0"}\n`;
  await writeFile(join(folder, 'config.yml'), config);
  const server = spawn(join(programs, 'usr/bin/docker-registry'), ['serve', join(folder, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stop = async (): Promise<void> => {
    server.kill();
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  };
  for await (const line of createInterface({ input: server.stderr })) {
    const host = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (host === undefined) continue;
    server.stderr.resume();
    return { host, stop };
  }
  throw new Error('the registry ended before it listened');
}

let problem: string | undefined;
const registry = await startRegistry().catch((error: unknown) => {
  problem = `Debian's docker-registry cannot be had: ${String(error)}`;
  return undefined;
});

describe.skipIf(isMissing('docker-registry', problem))('a real registry', () => {
  afterAll(() => registry?.stop());

  it('takes an image and gives it back as it was', async () => {
    const [from, to] = [await scratchLayout(), await scratchLayout()];
    const layer = await writeLayer(from, [treeEntry('etc/'), treeEntry('etc/a', 'x'.repeat(3_000_000))], { compression: 'zstd', mtime: 0 });
    const image = await assembleImage(from, { layers: [layer], architecture: 'amd64', created: '2024-08-13T00:00:00Z', config: {} });
    const client = new RegistryClient({ http: undiciHttp({ offline: false }), credentials: () => Promise.resolve(undefined) });
    const reference = parseReference(`${registry?.host ?? ''}/org/node:1.31`);
    await expect(client.resolve(reference)).rejects.toMatchObject({ code: 'image-not-found' });
    await pushImage(client, from, image.descriptor, reference);
    expect(await client.resolve(reference)).toEqual(image.descriptor);
    await pullImage(client, to, reference, { architecture: 'amd64', refs: ['localhost/node:1.31'] });
    const pulled = await readImage(to, 'localhost/node:1.31');
    expect(pulled).toEqual(image);
    expect(diffTrees(await imageTree(from, image), await imageTree(to, pulled), { mtime: true })).toEqual({
      added: [],
      removed: [],
      changed: [],
    });
  });
});
