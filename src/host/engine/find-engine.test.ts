import { describe, expect, it } from 'vitest';

import type { ContainerEngine, EngineInfo } from '../types.ts';
import { type EngineChoice, type EngineSurroundings } from './discovery.ts';
import { type EngineEndpoint, showAddress } from './endpoint.ts';
import { engineUnreachable } from './errors.ts';
import { findEngine } from './find-engine.ts';

const ALL = { '/run/docker.sock': '', '/run/podman/podman.sock': '' };

function surroundings(env: Readonly<Record<string, string>>, files: Readonly<Record<string, string>>): EngineSurroundings {
  return { env, home: '/root', uid: 0, readText: (path) => files[path], exists: (path) => path in files };
}

/** Connects to the engines in `running` (make by address); at other addresses nobody answers. */
function connectTo(running: Readonly<Record<string, EngineInfo['name']>>) {
  return ({ address, origin }: EngineEndpoint): Promise<ContainerEngine> => {
    const name = running[showAddress(address)];
    if (name === undefined) return Promise.reject(engineUnreachable(origin, address, new Error('connect ENOENT')));
    const info: EngineInfo = { name, version: '1', rootless: false, origin, architecture: 'amd64' };
    return Promise.resolve({ info: () => Promise.resolve(info) } as ContainerEngine);
  };
}

async function found(
  choice: EngineChoice,
  running: Readonly<Record<string, EngineInfo['name']>>,
  env: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = ALL,
): Promise<string | undefined> {
  const engine = await findEngine(choice, surroundings(env, files), connectTo(running));
  return (await engine?.info())?.origin;
}

describe('findEngine', () => {
  it('goes on when a socket that nobody named does not answer', async () => {
    expect(await found({ kind: 'auto' }, { 'unix:///run/podman/podman.sock': 'podman' })).toBe('rootful Podman socket');
  });

  it('answers undefined when none runs', async () => {
    expect(await found({ kind: 'auto' }, {})).toBeUndefined();
  });

  it('starts its own when asked, whatever runs', async () => {
    expect(await found({ kind: 'embedded' }, { 'unix:///run/docker.sock': 'docker' })).toBeUndefined();
  });

  it('never goes on silently from a named engine', async () => {
    const looking = found({ kind: 'auto' }, { 'unix:///run/docker.sock': 'docker' }, { DOCKER_HOST: 'unix:///gone.sock' });
    await expect(looking).rejects.toMatchObject({
      code: 'engine-unreachable',
      exitCode: 3,
      message: 'no container engine answers at unix:///gone.sock (DOCKER_HOST): connect ENOENT',
    });
  });

  it('takes the make that was asked for, whatever the place is called', async () => {
    expect(
      await found({ kind: 'make', make: 'podman' }, { 'unix:///run/docker.sock': 'docker', 'unix:///run/podman/podman.sock': 'podman' }),
    ).toBe('rootful Podman socket');
    expect(await found({ kind: 'make', make: 'podman' }, { 'unix:///run/docker.sock': 'podman' })).toBe('rootful Docker socket');
  });

  it('tells what it tried when the make is not there', async () => {
    const looking = found({ kind: 'make', make: 'podman' }, { 'unix:///run/docker.sock': 'docker' });
    await expect(looking).rejects.toMatchObject({
      code: 'engine-missing',
      exitCode: 3,
      facts: {
        tried: [
          'unix:///run/docker.sock (rootful Docker socket) is docker',
          'no container engine answers at unix:///run/podman/podman.sock (rootful Podman socket): connect ENOENT',
        ],
      },
    });
  });
});
