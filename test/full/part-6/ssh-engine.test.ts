import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { connectEngine } from '../../../src/host/adapters/dockerode-engine.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { NO_CREDENTIALS } from '../../../src/host/engine/registry-credentials.ts';
import { openTunnel, type Tunnel } from '../../../src/host/engine/tunnel.ts';
import { fileLocks } from '../../../src/host/locks.ts';
import { createArtifactStore } from '../../../src/host/store/artifact-store.ts';
import type { ContainerEngine } from '../../../src/host/types.ts';
import { acquireImages, type AcquirePorts } from '../../../src/image/acquire.ts';
import { loadArchive } from '../../../src/oci/archive-load.ts';
import { readImage } from '../../../src/oci/image.ts';
import { createLayout } from '../../../src/oci/layout.ts';
import { type DockerDaemon, dockerProblem, startDockerDaemon } from '../../fixtures/docker-daemon.ts';
import { layoutTools, treeEntry } from '../../fixtures/layouts.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { smallRoot } from '../../fixtures/small-root.ts';
import { type SshServer, sshProblem, startSshServer, tunnelParts } from '../../fixtures/ssh-server.ts';
import { until } from '../../fixtures/traces.ts';

/* A real Docker behind a real ssh: images are built there, also after the connection broke in the middle. */

const BASE = 'localhost/kvci-test/ssh-base:1';
const TAG = 'localhost/kvci-test/ssh:1';
const NEVER = new AbortController().signal;
const skip = isMissing('docker', dockerProblem()) || isMissing('ssh', sshProblem());

describe.skipIf(skip)('Docker over ssh', () => {
  let folder: string;
  let daemon: DockerDaemon;
  let server: SshServer;
  let tunnel: Tunnel;
  let engine: ContainerEngine;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-ssh-engine-'));
    daemon = await startDockerDaemon();
    server = await startSshServer((channel) => {
      const socket = createConnection(daemon.socket);
      for (const stream of [channel, socket]) stream.on('error', () => undefined);
      channel.pipe(socket).pipe(channel);
    });
    const address = { transport: 'ssh', destination: 'core@127.0.0.1', port: server.port, socket: '/var/run/docker.sock' } as const;
    tunnel = await openTunnel(address, 'test', await tunnelParts(folder));
    engine = await connectEngine({ address: { transport: 'unix', path: tunnel.path }, origin: 'test' }, NO_CREDENTIALS);
    await engine.importRoot(await smallRoot(), BASE, NEVER);
  });

  afterAll(async () => {
    await tunnel[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const build = (run: string, onLine: (line: string) => void = () => undefined): Promise<void> =>
    engine.build({
      context: tarStreamTar.write([treeEntry('Containerfile', `FROM ${BASE}\nLABEL built=there\nRUN ${run}`)]),
      containerfile: 'Containerfile',
      tag: TAG,
      buildArgs: {},
      noCache: false,
      platform: process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64',
      signal: NEVER,
      onLine,
    });

  it('builds an image and gives it back', async () => {
    await build('echo built');
    const layout = await createLayout(join(folder, 'layout'), layoutTools);
    const [saved] = await loadArchive(layout, await engine.save(TAG, NEVER));
    const { config } = await readImage(layout, saved?.descriptor.digest ?? '');
    expect(config.config?.Labels).toMatchObject({ built: 'there' });
  });

  it('is where an image is found that kvci has not, and got from once', async () => {
    const layout = await createLayout(join(folder, 'images'), layoutTools);
    let saved = 0;
    const ports: AcquirePorts = {
      layout: () => Promise.resolve(layout),
      layoutIn: (path) => createLayout(path, layoutTools),
      store: createArtifactStore({ directories: { cache: folder }, locks: fileLocks(systemClock), clock: systemClock }),
      registry: () => Promise.reject(new Error('no registry is asked')),
      runningEngine: () =>
        Promise.resolve({
          info: () => engine.info(),
          imageId: (tag: string) => engine.imageId(tag),
          save: (tag: string, signal: AbortSignal) => {
            saved += 1;
            return engine.save(tag, signal);
          },
          [Symbol.asyncDispose]: () => Promise.resolve(),
        }),
    };
    const request = { engine: { kind: 'auto' }, architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', cwd: folder } as const;
    const run = { events: () => undefined, clock: systemClock, signal: NEVER };
    const [first] = await acquireImages(TAG, request, ports, run);
    const [second] = await acquireImages(TAG, request, ports, run);
    expect(first).toMatchObject({ name: TAG, from: 'engine' });
    expect(second?.descriptor).toEqual(first?.descriptor);
    expect(saved).toBe(1);
    const failing = acquireImages('localhost/kvci-test/none:1', request, ports, run);
    await expect(failing).rejects.toMatchObject({ code: 'image-not-found' });
  });

  it('a connection that breaks in the middle of a build is told, and the next build goes through', async () => {
    const broken = build('echo begun && sleep 1000', (line) => {
      if (line === 'begun') server.hangUp();
    });
    await expect(broken).rejects.toMatchObject({ code: 'engine-lost', exitCode: 1 });
    // ssh is started anew.
    await until(() =>
      engine.images().then(
        () => true,
        () => false,
      ),
    );
    await build('echo again');
    expect(await engine.hasImage(TAG)).toBe(true);
  });
});
