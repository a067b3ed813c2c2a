import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Sandbox } from '../../src/sandbox/types.ts';
import { testSandboxes } from '../fixtures/sandboxes.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

const SCRIPTS = new URL('../../templates/node/common/usr/libexec/kvci', import.meta.url).pathname;

/** The script of a node image, in a network namespace with one link. */
describe('pod-network', () => {
  let folder: string;
  let box: Sandbox;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-pod-network-'));
    box = await testSandboxes(await toolsTree(), folder).start({
      name: 'pod-network',
      network: 'private',
      cgroups: false,
      signal: new AbortController().signal,
      binds: [
        { host: SCRIPTS, inside: '/srv/kvci', writable: false },
        { host: folder, inside: '/srv/etc', writable: false },
      ],
    });
    await box.run(['ip', 'link', 'add', 'eth0', 'type', 'bridge']);
    await box.run(['ip', 'address', 'add', '10.9.0.1/24', 'dev', 'eth0']);
    await box.run(['ip', 'address', 'add', 'fd00:9::1/64', 'dev', 'eth0', 'nodad']);
    await box.run(['ip', 'link', 'set', 'eth0', 'up']);
    await box.run(['ip', 'route', 'add', '10.99.0.0/16', 'via', '10.9.0.9']);
  });

  afterAll(async () => {
    await box[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function apply(...lines: readonly string[]): Promise<void> {
    await writeFile(join(folder, 'pod-network'), lines.map((line) => `${line}\n`).join(''));
    await box.run(['sh', '/srv/kvci/pod-network', '/srv/etc/pod-network']);
  }

  async function routes(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const family of ['-4', '-6']) {
      const { stdout } = await box.run(['ip', family, '-json', 'route']);
      for (const { dst, gateway } of JSON.parse(stdout || '[]') as { dst: string; gateway?: string }[])
        if (gateway !== undefined) found.push(`${dst} via ${gateway}`);
    }
    return found.toSorted();
  }

  const rules = async (): Promise<readonly string[]> => {
    const { stdout } = await box.run(['nft', 'list', 'table', 'inet', 'kvci']);
    return stdout.split('\n').flatMap((line) => (line.includes('masquerade') ? [line.trim()] : []));
  };

  const FOREIGN = '10.99.0.0/16 via 10.9.0.9';

  it('sets routes and masquerades what leaves the pod ranges, in both families', async () => {
    const lines = ['10.244.2.0/24 via 10.9.0.2', 'fd10:244:0:2::/64 via fd00:9::2'];
    await apply('# of node01', ...lines, '', 'masquerade 10.244.0.0/16', 'masquerade 10.246.0.0/16', 'masquerade fd10:244::/56  # pods');
    expect(await routes()).toEqual(expect.arrayContaining([...lines, FOREIGN]));
    expect(await rules()).toEqual(
      expect.arrayContaining([
        'ip saddr { 10.244.0.0/16, 10.246.0.0/16 } ip daddr != { 10.244.0.0/16, 10.246.0.0/16 } masquerade',
        'ip6 saddr fd10:244::/56 ip6 daddr != fd10:244::/56 masquerade',
      ]),
    );
  });

  it('changes gateways, takes away what the file no longer has, and leaves the routes of others alone', async () => {
    await apply('10.244.2.0/24 via 10.9.0.22', '10.244.3.0/24 via 10.9.0.3', 'masquerade 10.244.0.0/16');
    expect(await routes()).toEqual(['10.244.2.0/24 via 10.9.0.22', '10.244.3.0/24 via 10.9.0.3', FOREIGN]);
    expect(await rules()).toEqual(['ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade']);
    await apply();
    expect(await routes()).toEqual([FOREIGN]);
    expect(await rules()).toEqual([]);
  });

  it.each(['10.244.2.0/24', '10.244.2.0/24 dev eth0', 'masquerade', 'masquerade 10.244.0.0/16 now'])(
    'says what is wrong with %j and changes nothing',
    async (line) => {
      await apply('10.244.2.0/24 via 10.9.0.2');
      await expect(apply(line)).rejects.toThrow(`found "${line}"`);
      expect(await routes()).toEqual(['10.244.2.0/24 via 10.9.0.2', FOREIGN]);
    },
  );

  it('fails on a gateway that is not reached yet, so that its unit tries again', async () => {
    await expect(apply('10.244.2.0/24 via 192.0.2.1')).rejects.toThrow(/invalid gateway|unreachable/);
  });
});
