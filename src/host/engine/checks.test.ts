import { expect, it } from 'vitest';

import type { ContainerEngine } from '../types.ts';
import { engineCheck } from './checks.ts';
import type { EngineSurroundings } from './discovery.ts';
import { type EngineEndpoint, showAddress } from './endpoint.ts';
import { engineUnreachable } from './errors.ts';

function surroundings(env: Readonly<Record<string, string>>, socket?: string): EngineSurroundings {
  return { env, home: '/root', uid: 0, readText: () => undefined, exists: (path) => path === socket };
}

/** Docker answers at /run/docker.sock, nobody elsewhere. */
function connect({ address, origin }: EngineEndpoint): Promise<ContainerEngine> {
  if (showAddress(address) !== 'unix:///run/docker.sock') {
    return Promise.reject(engineUnreachable(origin, address, new Error('connect ENOENT')));
  }
  const info = { name: 'docker', version: '28.1.1', rootless: true, origin, architecture: 'amd64' } as const;
  const engine: Pick<ContainerEngine, 'info' | typeof Symbol.asyncDispose> = {
    info: () => Promise.resolve(info),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return Promise.resolve(engine as ContainerEngine);
}

it('says which engine was found', async () => {
  const check = engineCheck({ kind: 'auto' }, surroundings({}, '/run/docker.sock'), connect);
  expect(await check.run()).toBeUndefined();
  expect(await check.found?.()).toBe('docker 28.1.1, rootless (rootful Docker socket)');
});

it('is content without any', async () => {
  const check = engineCheck({ kind: 'auto' }, surroundings({}), connect);
  expect(await check.run()).toBeUndefined();
  expect(await check.found?.()).toContain('kvci starts Podman');
});

it('wants a named engine to answer', async () => {
  const check = engineCheck({ kind: 'auto' }, surroundings({ DOCKER_HOST: 'unix:///gone.sock' }, '/run/docker.sock'), connect);
  expect(await check.run()).toMatchObject({ level: 'error', error: { code: 'engine-unreachable' } });
});
