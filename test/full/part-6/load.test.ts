import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { smallImage } from '../../fixtures/small-image.ts';
import { CONTENTS, OWN_DISK, SMALL_DISK, TOO_LARGE } from '../../fixtures/small-node-disk.ts';
import { startKvci } from '../../fixtures/started-kvci.ts';

/* What can go wrong while images are put into nodes: each is told, and leaves nothing in a node. */

const NAME = 'kvci-test-load';

interface Loaded {
  readonly nodes: readonly { readonly node: string; readonly loaded: readonly string[]; readonly sent: number }[];
}

interface Refused {
  readonly error: { readonly code: string; readonly message: string; readonly exitCode: number };
}

describe('kvci load', () => {
  let folder: string;
  const call = kvciIn(() => ({ path: folder }));
  const here = wellDone(call);
  const onNode = (node: string, script: string): Promise<string> => here('ssh', node, '--cluster', NAME, '--', 'sh', '-c', script);
  const load = async (...args: readonly string[]): Promise<Loaded> =>
    JSON.parse(await here('load', '--cluster', NAME, '--output', 'json', ...args)) as Loaded;
  const refused = async (...args: readonly string[]): Promise<Refused['error']> => {
    const { code, stdout } = await call('load', '--cluster', NAME, '--output', 'json', ...args);
    const { error } = JSON.parse(stdout) as Refused;
    expect(code).toBe(error.exitCode);
    return error;
  };
  const contents = (node: string): Promise<string> => onNode(node, CONTENTS);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-load-'));
    await here('up', NAME, '--image', (await nodeImage('1.36')).digest, '--nodes', '2', '--provider', 'kind');
  });

  afterAll(async () => {
    await here('down', NAME);
    await rm(folder, { recursive: true, force: true });
  });

  it('sends only layers that a node lacks, to the nodes that are named', async () => {
    const one = await smallImage(folder, { name: 'example.org/greeter:one', greeting: 'hello' });
    const two = await smallImage(folder, { name: 'example.org/greeter:two', greeting: 'hello', more: randomBytes(2_000_000) });
    expect(await load(two.archive, '--node', 'node02')).toMatchObject({ nodes: [{ node: 'node02', loaded: ['example.org/greeter:two'] }] });
    const [sent] = (await load(one.archive, '--node', 'node02')).nodes.map((node) => node.sent);
    const { manifest, descriptor } = one.image;
    // Its one layer is the lower of the other's.
    expect(sent).toBe(descriptor.size + manifest.config.size);
    const both = await load(one.archive, two.archive);
    expect(both.nodes.map(({ node, loaded }) => [node, loaded.length])).toEqual([
      ['node01', 2],
      ['node02', 0],
    ]);
  });

  it('refuses an image of another architecture', async () => {
    const before = await contents('node01');
    const { archive } = await smallImage(folder, { name: 'example.org/greeter:arm', greeting: 'hello', architecture: 's390x' });
    const error = await refused(archive);
    expect(error).toMatchObject({ code: 'platform-missing', exitCode: 5 });
    expect(error.message).toContain('example.org/greeter:arm is for s390x, and node01 is ');
    expect(await contents('node01')).toBe(before);
  });

  it('refuses an archive that was cut short, and names the blob', async () => {
    const { archive, image } = await smallImage(folder, { name: 'example.org/greeter:cut', greeting: 'cut', more: randomBytes(3_000_000) });
    const size = (await readFile(archive)).length;
    await truncate(archive, size / 2);
    const error = await refused(archive);
    expect(error).toMatchObject({ code: 'tar-damaged', exitCode: 1 });
    expect(image.manifest.layers.some(({ digest }) => error.message.includes(digest))).toBe(true);
  });

  it.each([
    { what: 'as it is sent', tag: 'large', more: randomBytes(TOO_LARGE) },
    { what: 'once it is unpacked', tag: 'wide', more: Buffer.alloc(TOO_LARGE) },
  ])('says that the disk of a node is full $what, and leaves nothing on it', async ({ tag, more }) => {
    const { archive } = await smallImage(folder, { name: `example.org/greeter:${tag}`, greeting: tag, more });
    await onNode('node02', SMALL_DISK);
    try {
      const error = await refused(archive);
      expect(error).toMatchObject({ code: 'node-disk-full', exitCode: 1 });
      expect(error.message).toContain('the disk of node02 is full');
      expect(await contents('node02')).toBe('');
    } finally {
      await onNode('node02', OWN_DISK);
    }
    // The other node has it; this one now, too.
    expect((await load(archive)).nodes.map(({ node, loaded }) => [node, loaded.length])).toEqual([
      ['node01', 0],
      ['node02', 1],
    ]);
  });

  it('is stopped by Ctrl-C, and leaves nothing on a node', async () => {
    const { archive } = await smallImage(folder, { name: 'example.org/greeter:left', greeting: 'left', more: randomBytes(150_000_000) });
    const before = await contents('node01');
    // Holds the node's side of it once something is written.
    const ctr = '-x ctr';
    const held = onNode('node01', `while [ "$(${CONTENTS})" = '${before.trim()}' ]; do :; done; pkill -STOP ${ctr}`);
    const kvci = startKvci(['load', '--cluster', NAME, '--node', 'node01', archive], { cwd: folder });
    await held;
    kvci.child.kill('SIGINT');
    await onNode('node01', `pkill -CONT ${ctr}`);
    expect((await kvci.ended()).code).toBe(130);
    expect(await contents('node01')).toBe(before);
  });

  it('finishes what a killed one left', async () => {
    const name = 'example.org/greeter:killed';
    const { archive } = await smallImage(folder, { name, greeting: 'killed', more: randomBytes(4_000_000) });
    await writeFile(join(folder, 'half'), (await readFile(archive)).subarray(0, 3_000_000));
    await here('cp', join(folder, 'half'), 'node01:/tmp/half', '--cluster', NAME);
    // What a runtime gets when whoever sends to it is gone.
    await onNode('node01', 'ctr --namespace k8s.io images import --local - </tmp/half; rm /tmp/half; true');
    expect((await load(archive)).nodes.map(({ loaded }) => loaded)).toEqual([[name], [name]]);
  });
});
