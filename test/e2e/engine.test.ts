import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hostCommands } from '../../src/host/adapters/execa-commands.ts';
import { systemClock } from '../../src/host/clock.ts';
import { hostCredentials } from '../../src/host/engine/registry-credentials.ts';
import type { BuildRequest, ContainerEngine } from '../../src/host/types.ts';
import { dockerProblem, startDockerDaemon } from '../fixtures/docker-daemon.ts';
import { startEmbeddedPodman } from '../fixtures/embedded-podman.ts';
import { isMissing } from '../fixtures/needs.ts';
import { noProcess, sleepSeconds } from '../fixtures/processes.ts';
import { type PrivateRegistry, startPrivateRegistry } from '../fixtures/private-registry.ts';
import { pidOf } from '../fixtures/sandbox-pid.ts';
import { readArchive } from '../fixtures/saved-image.ts';
import { contextOf, NET_RAW, smallRoot } from '../fixtures/small-root.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

const BASE = 'localhost/kvci-test/base:1';
const NODE = 'localhost/kvci-test/node:1';
const NEVER = new AbortController().signal;
const PLATFORM = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;

/** An engine for the tests, and the ways to be rid of it. */
interface Started {
  readonly engine: ContainerEngine;
  /** Ends the engine as a crash would. */
  crash(): Promise<void>;
  /** Ends it and removes all that it kept. */
  end(): Promise<void>;
}

let registry: PrivateRegistry;
let home: string;

const starters: readonly (readonly [string, () => Promise<Started>])[] = [
  ['docker', startDocker],
  ['podman', startOwnPodman],
];

function credentials() {
  return hostCredentials(
    {},
    home,
    hostCommands(() => undefined, systemClock),
  );
}

async function startDocker(): Promise<Started> {
  const daemon = await startDockerDaemon({ SSL_CERT_FILE: registry.ca });
  return { engine: await daemon.connect(credentials()), crash: () => daemon.kill(), end: async () => daemon[Symbol.asyncDispose]() };
}

async function startOwnPodman(): Promise<Started> {
  const cache = await mkdtemp(join(tmpdir(), 'kvci-cache-'));
  const podman = await startEmbeddedPodman(await toolsTree(), cache, credentials(), { SSL_CERT_FILE: registry.ca });
  return {
    engine: podman.engine,
    crash: async () => {
      process.kill(pidOf(podman.sandbox.record), 'SIGKILL');
      await podman.sandbox.ended.catch(() => undefined);
    },
    end: async () => {
      await podman.remove();
      await rm(cache, { recursive: true, force: true });
    },
  };
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'kvci-home-'));
  registry = await startPrivateRegistry(await buffer(await smallRoot()), PLATFORM.slice('linux/'.length));
  const auth = Buffer.from(`${registry.username}:${registry.password}`).toString('base64');
  await mkdir(join(home, '.docker'));
  await writeFile(join(home, '.docker', 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }));
});

afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

describe.each(starters)('%s', (make, start) => {
  const skip = make === 'docker' && isMissing('docker', dockerProblem());
  let started: Started;

  beforeAll(async () => {
    if (skip) return;
    started = await start();
    await started.engine.importRoot(await smallRoot(), BASE, NEVER);
  });

  afterAll(async () => {
    if (!skip) await started.end();
  });

  /** Builds and answers the lines of the build. */
  const build = async (containerfile: string, more: Partial<BuildRequest> = {}): Promise<string[]> => {
    const lines: string[] = [];
    await started.engine.build({
      context: contextOf({ Containerfile: containerfile, 'a file': 'content\n' }),
      containerfile: 'Containerfile',
      tag: NODE,
      buildArgs: {},
      noCache: false,
      platform: PLATFORM,
      signal: NEVER,
      ...more,
      onLine: (line) => {
        lines.push(line);
        more.onLine?.(line);
      },
    });
    return lines;
  };

  it.skipIf(skip)('tells what it is', async () => {
    expect(await started.engine.info()).toMatchObject({
      name: make,
      version: expect.stringMatching(/^\d+\.\d+/) as string,
      architecture: PLATFORM.slice('linux/'.length),
    });
  });

  it.skipIf(skip)('imports a root, builds on it, and loses nothing', async () => {
    const lines = await build(
      [
        `FROM ${BASE}`,
        'ARG GREETING=none',
        'ENV NODE_ENV=test',
        'LABEL containers.bootc=1',
        'COPY ["a file", "/etc/copied"]',
        'RUN id && echo "$GREETING, $HTTPS_PROXY" && touch /etc/made && chown 33:44 /etc/made && chmod 4750 /etc/made',
      ].join('\n'),
      { buildArgs: { GREETING: 'hello', HTTPS_PROXY: 'http://user:secret@proxy:3128' } },
    );
    expect(lines).toContain('hello, http://user:secret@proxy:3128');
    expect(lines.some((line) => line.startsWith('uid=0 gid=0'))).toBe(true);

    const image = await readArchive(await started.engine.save(NODE, NEVER));
    expect(image.config.config).toMatchObject({ Labels: { 'containers.bootc': '1' } });
    expect(image.config.config.Env).toContain('NODE_ENV=test');
    expect(JSON.stringify(image.config)).not.toMatch(/secret|proxy:3128/);
    expect(image.files.get('etc/owned')).toMatchObject({ uid: 33, gid: 44, mode: 0o640 });
    expect(image.files.get('etc/linked')).toMatchObject({ type: 'hardlink', linkname: 'etc/owned' });
    expect(image.files.get('bin/capable')?.xattrs).toEqual({ 'security.capability': NET_RAW });
    expect(image.files.get('bin/setuid')).toMatchObject({ mode: 0o4755 });
    expect(image.files.get('etc/made')).toMatchObject({ uid: 33, gid: 44, mode: 0o4750 });
    expect(image.files.get('etc/copied')).toMatchObject({ uid: 0, gid: 0, size: 'content\n'.length });
  });

  it.skipIf(skip)('builds nothing twice, whatever the proxy', async () => {
    const containerfile = `FROM ${BASE}\nRUN echo built-once`;
    expect(await build(containerfile, { buildArgs: { HTTP_PROXY: 'http://one' } })).toContain('built-once');
    expect(await build(containerfile, { buildArgs: { HTTP_PROXY: 'http://two' } })).not.toContain('built-once');
    expect(await build(containerfile, { noCache: true })).toContain('built-once');
  });

  it.skipIf(skip).each([
    ['RUN', `FROM ${BASE}\nRUN echo first\nRUN echo last words >&2 && exit 7`, 'RUN echo last words', ['last words'], /7$/],
    ['COPY', `FROM ${BASE}\nCOPY nothere /x`, 'COPY nothere /x', [], /nothere/],
    ['FROM', 'FROM localhost:1/kvci-test/none:1', 'FROM localhost:1/kvci-test/none:1', undefined, /refused/],
  ])('names a failing %s', async (_name, containerfile, instruction, lastLines, reason) => {
    await expect(build(containerfile)).rejects.toMatchObject({
      code: 'image-build-failed',
      exitCode: 1,
      message: expect.stringContaining(`at "${instruction}`) as string,
      facts: {
        instruction: expect.stringContaining(instruction) as string,
        reason: expect.stringMatching(reason) as string,
        ...(lastLines === undefined ? {} : { lastLines }),
      },
    });
  });

  it.skipIf(skip)('names an unknown instruction, and shows no build argument', async () => {
    const failure = await build(`FROM ${BASE}\nFOO bar`, { buildArgs: { HTTP_PROXY: 'http://user:secret@proxy' } }).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: 'image-build-failed', message: expect.stringMatching(/unknown instruction: "?FOO/i) as string });
    expect(JSON.stringify(failure)).not.toContain('secret');
    expect(String(failure)).not.toContain('secret');
  });

  it.skipIf(skip)('tells a full disk', async () => {
    await expect(build(`FROM ${BASE}\nRUN echo x >/dev/full`)).rejects.toMatchObject({ code: 'disk-full' });
  });

  it.skipIf(skip)('fails with what its context failed with', async () => {
    const broken = Readable.from(
      (function* () {
        yield Buffer.alloc(512);
        throw new Error('the context broke');
      })(),
      { objectMode: false },
    );
    await expect(build('', { context: broken })).rejects.toThrow('the context broke');
  });

  it.skipIf(skip)('refuses what is no tar', async () => {
    await expect(
      started.engine.importRoot(Readable.from([Buffer.from('no tar')]), 'localhost/kvci-test/bad:1', NEVER),
    ).rejects.toMatchObject({
      code: 'engine-request-failed',
    });
    expect(await started.engine.hasImage('localhost/kvci-test/bad:1')).toBe(false);
  });

  it.skipIf(skip)('saves, removes and loads', async () => {
    const tag = 'localhost/kvci-test/other:1';
    await started.engine.importRoot(await smallRoot(), tag, NEVER);
    const archive = await buffer(await started.engine.save(tag, NEVER));
    await started.engine.remove(tag);
    await started.engine.remove(tag);
    expect(await started.engine.hasImage(tag)).toBe(false);
    await started.engine.load(Readable.from([archive]), NEVER);
    expect(await started.engine.hasImage(tag)).toBe(true);
    await started.engine.remove(tag);
  });

  it.skipIf(skip)("pulls and builds with the host's credentials and CA", async () => {
    await build(`FROM ${registry.ref}\nRUN echo from a private registry`);
    await started.engine.pull(registry.ref, NEVER, () => undefined);
    expect(await started.engine.hasImage(registry.ref)).toBe(true);
    await expect(started.engine.pull(`${registry.host}/other/image:1`, NEVER, () => undefined)).rejects.toMatchObject({
      code: 'image-not-found',
    });
  });

  it.skipIf(skip)('stops at once when cancelled, and nothing goes on', async () => {
    const other = await start();
    try {
      await other.engine.importRoot(await smallRoot(), BASE, NEVER);
      const seconds = sleepSeconds();
      const cancel = new AbortController();
      const building = other.engine.build({
        context: contextOf({ Containerfile: `FROM ${BASE}\nRUN echo started && sleep ${seconds}` }),
        containerfile: 'Containerfile',
        tag: NODE,
        buildArgs: {},
        noCache: false,
        platform: PLATFORM,
        signal: cancel.signal,
        onLine: (line) => {
          if (line === 'started') cancel.abort();
        },
      });
      await expect(building).rejects.toMatchObject({ code: 'cancelled', exitCode: 130 });
      await noProcess(seconds);
    } finally {
      await other.end();
    }
  });

  it.skipIf(skip)('tells that it died during a build', async () => {
    const other = await start();
    try {
      await other.engine.importRoot(await smallRoot(), BASE, NEVER);
      const seconds = sleepSeconds();
      const building = other.engine.build({
        context: contextOf({ Containerfile: `FROM ${BASE}\nRUN echo started && sleep ${seconds}` }),
        containerfile: 'Containerfile',
        tag: NODE,
        buildArgs: {},
        noCache: false,
        platform: PLATFORM,
        signal: NEVER,
        onLine: (line) => {
          if (line === 'started') void other.crash();
        },
      });
      await expect(building).rejects.toMatchObject({
        code: 'engine-lost',
        facts: { instruction: expect.stringContaining('sleep') as string },
      });
      await noProcess(seconds);
    } finally {
      await other.end();
    }
  });
});
