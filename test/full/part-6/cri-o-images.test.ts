import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CommandError } from '../../../src/host/command-error.ts';
import { isDiskFull } from '../../../src/host/engine/errors.ts';
import { crioImages } from '../../../src/machine/cri/cri-o.ts';
import { lookIntoNode } from '../../../src/machine/cri/look.ts';
import { lackingBlobs, type NamedImage, partialArchive } from '../../../src/oci/archive-partial.ts';
import type { Sandbox } from '../../../src/sandbox/types.ts';
import { removeMappedTree } from '../../../src/sandbox/mapped-folder.ts';
import { layoutTools } from '../../fixtures/layouts.ts';
import { testSandboxes } from '../../fixtures/sandboxes.ts';
import { smallImage } from '../../fixtures/small-image.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';

/*
 * CRI-O's way of taking images, over a real containers-storage and a real skopeo, those of the tools image: a node with CRI-O has
 * the same. Who listens at CRI-O's socket is nobody: it only tells that CRI-O is what runs.
 */

const NEVER = new AbortController().signal;
const LISTEN = `mkdir -p /run/crio && perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "/run/crio/crio.sock", Listen => 1) or die'`;
const CONFIG = `mkdir -p /etc/containers && printf '[storage]\\ndriver = "overlay"\\nrunroot = "/run/containers/storage"\\ngraphroot = "/var/lib/containers/storage"\\n' >/etc/containers/storage.conf
printf '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json`;

describe('images of CRI-O', () => {
  let folder: string;
  let node: Sandbox;
  let lower: NamedImage;
  let upper: NamedImage;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-cri-o-'));
    const sandboxes = testSandboxes(await toolsTree(), folder);
    for (const name of ['storage', 'scratch']) await mkdir(join(folder, name));
    const storage = { host: join(folder, 'storage'), inside: '/var/lib/containers', writable: true };
    node = await sandboxes.start({
      name: 'cri-o',
      binds: [storage],
      scratch: join(folder, 'scratch'),
      network: 'private',
      cgroups: false,
      signal: NEVER,
    });
    await node.run(['sh', '-c', LISTEN]);
    await node.run(['sh', '-c', CONFIG]);
    const named = async (tag: string, more?: Buffer): Promise<NamedImage> => {
      const name = `example.org/greeter:${tag}`;
      const { layout, image } = await smallImage(folder, { name, greeting: 'hello', ...(more === undefined ? {} : { more }) });
      return { layout, descriptor: image.descriptor, name };
    };
    lower = await named('lower');
    upper = await named('upper', randomBytes(1_000_000));
  });

  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    await removeMappedTree(folder, testSandboxes(await toolsTree(), folder), NEVER).catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  });

  const wanted = ({ name, descriptor: { digest } }: NamedImage) => ({ name, digest });
  const look = async () => lookIntoNode(node, [lower, upper].map(wanted), NEVER);
  const take = async (image: NamedImage): Promise<number> => {
    const has = await crioImages.layers(node, NEVER);
    await crioImages.take(node, partialArchive(layoutTools.tar, [image], has), [wanted(image)], NEVER);
    return (await lackingBlobs([image], has)).length;
  };

  it('are taken whole, then only what is lacking, and found by name and digest', async () => {
    expect(await look()).toMatchObject({ runtime: 'cri-o', whole: new Set() });
    // Manifest, configuration, layer.
    expect(await take(lower)).toBe(3);
    expect((await look()).whole).toEqual(new Set([lower.name]));
    // Not the layer that both have.
    expect(await take(upper)).toBe(3);
    expect((await look()).whole).toEqual(new Set([lower.name, upper.name]));
    expect((await node.run(['sh', '-c', 'ls /var/tmp'])).stdout).toBe('');
  });

  it('leave nothing of what was cut off', async () => {
    const other = await smallImage(folder, { name: 'example.org/greeter:cut', greeting: 'cut', more: randomBytes(1_000_000) });
    const image = { layout: other.layout, descriptor: other.image.descriptor, name: 'example.org/greeter:cut' };
    const chunks: Buffer[] = [];
    for await (const chunk of partialArchive(layoutTools.tar, [image], new Set())) chunks.push(chunk as Buffer);
    const half = Readable.from([Buffer.concat(chunks).subarray(0, 500_000)]);
    await expect(crioImages.take(node, half, [wanted(image)], NEVER)).rejects.toMatchObject({ code: 'command-failed' });
    expect((await node.run(['sh', '-c', 'ls /var/tmp'])).stdout).toBe('');
    expect((await lookIntoNode(node, [wanted(image)], NEVER)).whole).toEqual(new Set());
  });

  it('that do not fit are told as that, and leave nothing', async () => {
    const name = 'example.org/greeter:large';
    const large = await smallImage(folder, { name, greeting: 'large', more: randomBytes(8_000_000) });
    const image = { layout: large.layout, descriptor: large.image.descriptor, name };
    await node.run(['mount', '-t', 'tmpfs', '-o', 'size=4M', 'tmpfs', '/var/tmp']);
    try {
      const taking = crioImages.take(node, partialArchive(layoutTools.tar, [image], new Set()), [wanted(image)], NEVER);
      await expect(taking).rejects.toSatisfy((error) => error instanceof CommandError && isDiskFull(error.message));
      expect((await node.run(['ls', '/var/tmp'])).stdout).toBe('');
    } finally {
      await node.run(['umount', '/var/tmp']);
    }
    expect(await take(image)).toBe(4);
  });
});
