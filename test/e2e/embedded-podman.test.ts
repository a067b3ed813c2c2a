import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { NO_CREDENTIALS } from '../../src/host/engine/registry-credentials.ts';
import type { BuildRequest } from '../../src/host/types.ts';
import { startEmbeddedPodman } from '../fixtures/embedded-podman.ts';
import { pidOf } from '../fixtures/sandbox-pid.ts';
import { contextOf, smallRoot } from '../fixtures/small-root.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

const BASE = 'localhost/kvci-test/base:1';
const NODE = 'localhost/kvci-test/node:1';
const NEVER = new AbortController().signal;
const PLATFORM = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;

describe('podman started by kvci', () => {
  it('goes on where a killed one stopped: layers reused, nothing in the way', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'kvci-cache-'));
    const start = async () => startEmbeddedPodman(await toolsTree(), cache, NO_CREDENTIALS);
    const request = (containerfile: string, onLine: (line: string) => void): BuildRequest => ({
      context: contextOf({ Containerfile: containerfile }),
      containerfile: 'Containerfile',
      tag: NODE,
      buildArgs: {},
      noCache: false,
      platform: PLATFORM,
      signal: NEVER,
      onLine,
    });
    const first = await start();
    await first.engine.importRoot(await smallRoot(), BASE, NEVER);
    const building = first.engine.build(
      request(`FROM ${BASE}\nRUN echo one-layer\nRUN echo started && sleep 100000`, (line) => {
        if (line === 'started') process.kill(pidOf(first.sandbox.record), 'SIGKILL');
      }),
    );
    await expect(building).rejects.toMatchObject({ code: 'engine-lost' });
    await first.engine[Symbol.asyncDispose]();

    const second = await start();
    try {
      const lines: string[] = [];
      await second.engine.build(request(`FROM ${BASE}\nRUN echo one-layer`, (line) => lines.push(line)));
      expect(lines).not.toContain('one-layer');
      await second.engine.remove(NODE);
      await second.engine.remove(BASE);
      expect(await second.engine.hasImage(BASE)).toBe(false);
    } finally {
      await second.remove();
      await rm(cache, { recursive: true, force: true });
    }
  });

  it('waits for another that has the storage', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'kvci-cache-'));
    const tools = await toolsTree();
    const order: string[] = [];
    const first = await startEmbeddedPodman(tools, cache, NO_CREDENTIALS);
    const second = await startEmbeddedPodman(tools, cache, NO_CREDENTIALS, {}, () => {
      order.push('the second waits');
      void first.engine[Symbol.asyncDispose]().then(() => order.push('the first has ended'));
    });
    order.push('the second answers');
    await second.remove();
    await rm(cache, { recursive: true, force: true });
    expect(order).toEqual(['the second waits', 'the first has ended', 'the second answers']);
  });
});
