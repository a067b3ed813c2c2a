import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

import { holdPort } from '../../src/host/free-port.ts';
import { saveArchive } from '../../src/oci/archive-save.ts';
import { assembleImage } from '../../src/oci/image.ts';
import { writeLayer } from '../../src/oci/layer.ts';
import { createLayout } from '../../src/oci/layout.ts';
import { TEST_ARCHITECTURE } from '../fixtures/bootable-image.ts';
import { layoutTools, scratchFolder, treeEntry } from '../fixtures/layouts.ts';
import { startPrivateRegistry } from '../fixtures/private-registry.ts';
import { smallImage } from '../fixtures/small-image.ts';
import { state } from './cluster-state.ts';
import { type Place, place } from './place.ts';

/*
 * Images that are loaded wrongly, registries and mirrors that are asked for wrongly, and what kind is told: refused before a node
 * or an engine is asked.
 */

const withCluster = (): Promise<Place> =>
  place({ '../state/clusters/lab/state.json': state(), 'text.tar': 'no archive', 'ca.pem': 'no PEM' });
const LABELS = { 'io.kvci.kubernetes.version': '1.36.3' };
const DIGEST = `sha256:${'0'.repeat(64)}`;

describe('load', () => {
  test.each([
    { args: [], code: 'missing-argument', exitCode: 2, message: "missing required argument 'image'" },
    { args: ['none.tar'], code: 'archive-missing', exitCode: 5, message: 'there is no file' },
    { args: ['./none'], code: 'archive-missing', exitCode: 5, message: 'there is no file' },
    { args: ['text.tar'], code: 'tar-damaged', exitCode: 1, message: 'text.tar' },
    { args: ['Upper:1'], code: 'bad-reference', exitCode: 2, message: 'upper-case' },
    { args: ['https://a.example/b'], code: 'bad-reference', exitCode: 2, message: 'it is a URL' },
    { args: ['localhost/none:1'], code: 'image-not-found', exitCode: 5, message: "neither in kvci's store nor in an engine" },
    { args: ['a.example/none:1', '--offline'], code: 'offline', exitCode: 1, message: "neither in kvci's store nor in an engine" },
    { args: ['a:1', '--node', 'node09'], code: 'node-not-found', exitCode: 5, message: 'has no node "node09"' },
    { args: ['a:1', '--cluster', 'none'], code: 'cluster-not-found', exitCode: 5, message: 'there is no cluster "none"' },
    { args: ['a:1', '--engine', 'foo'], code: 'bad-engine-url', exitCode: 2, message: '"foo" is not an engine' },
  ])('$args: $code', async ({ args, code, exitCode, message }) => {
    const here = await withCluster();
    const error = await here.refused('load', '-q', ...args);
    expect(error).toMatchObject({ code, exitCode });
    expect(error.message).toContain(message);
    expect(existsSync(join(here.state, 'node-engine.json'))).toBe(false);
  });

  test('a registry that is down, and one whose certificate is not trusted, are told by their names', async () => {
    const here = await withCluster();
    const held = await holdPort();
    await held[Symbol.asyncDispose]();
    const refused = await here.refused('load', '-q', `localhost:${held.port}/team/image:1`);
    expect(refused).toMatchObject({ code: 'registry-failed', exitCode: 1 });
    expect(refused.message).toMatch(/^the image localhost:\d+\/team\/image:1 is neither .*: connect ECONNREFUSED/);
    await using registry = await startPrivateRegistry(Buffer.alloc(1024), 'amd64');
    const untrusted = await here.refused('load', '-q', registry.ref);
    expect(untrusted).toMatchObject({ code: 'registry-failed', exitCode: 1 });
    expect(untrusted.message).toMatch(/^the image localhost:\d+\/team\/image:1 is neither .*: self-signed certificate/);
    expect(untrusted.hint).toContain('NODE_EXTRA_CA_CERTS');
  });

  test('an archive whose image has no name', async () => {
    const here = await withCluster();
    const { layout, image } = await smallImage(scratchFolder(), { name: 'localhost/x:1', greeting: 'hello' });
    await writeFile(join(here.path, 'nameless.tar'), saveArchive(layout, image.descriptor, { refs: [], layers: 'as-is' }));
    expect(await here.refused('load', '-q', 'nameless.tar')).toMatchObject({ code: 'image-unnamed', exitCode: 2 });
  });
});

describe('registries of up', () => {
  test.each([
    { args: ['--mirror', 'docker.io'], code: 'bad-flag', exitCode: 2, message: '--mirror: "docker.io" is not of the form HOST=URL' },
    { args: ['--mirror', 'docker.io=mirror'], code: 'bad-flag', exitCode: 2, message: '--mirror: ' },
    { args: ['--mirror', 'a/b=https://m.example'], code: 'bad-flag', exitCode: 2, message: '--mirror: ' },
    { args: ['--ca', 'ca.pem'], code: 'bad-flag', exitCode: 2, message: '--ca: whose certificates these are is not said' },
    { args: ['--ca', 'a.example=none.pem'], code: 'ca-missing', exitCode: 5, message: '--ca: there is no file ' },
    { args: ['--ca', 'a.example=ca.pem'], code: 'ca-no-certificate', exitCode: 2, message: 'holds no certificate' },
  ])('$args: $code', async ({ args, code, exitCode, message }) => {
    const here = await withCluster();
    const error = await here.refused('up', 'other', '--image', 'localhost/none:x', '--provider', 'kind', '--engine', 'embedded', ...args);
    expect(error).toMatchObject({ code, exitCode });
    expect(error.message).toContain(message);
    expect(existsSync(join(here.state, 'registry'))).toBe(false);
  });

  test('of a cluster that has none', async () => {
    expect(await (await withCluster()).refused('up', 'lab', '--registry')).toMatchObject({ code: 'cluster-differs', exitCode: 5 });
  });
});

describe('image build --preload', () => {
  test.each([
    { word: 'greeter:1', message: '--preload: "greeter:1" has no digest' },
    { word: `greeter@${DIGEST}`, message: 'has no tag' },
    { word: `greeter:1@${DIGEST},Other:1@${DIGEST}`, message: 'upper-case' },
    { word: '.', message: '--preload: . cannot be read' },
  ])('$word', async ({ word, message }) => {
    const error = await (await place()).refused('image', 'build', '--k8s', '1.36', '--preload', word);
    expect(error).toMatchObject({ code: 'bad-flag', exitCode: 2 });
    expect(error.message).toContain(message);
  });
});

describe('kind config', () => {
  test.each([
    { args: ['localhost/none:x'], code: 'image-not-found', exitCode: 5, message: 'there is no image' },
    { args: ['a', '--nodes', '0'], code: 'bad-flag', exitCode: 2, message: '--nodes: "0" is not a number from 1 to' },
    { args: ['a', '--control-planes', '3'], code: 'bad-flag', exitCode: 2, message: '--control-planes: 3 control planes do not fit' },
    { args: [DIGEST], code: 'bad-flag', exitCode: 2, message: '--image: no engine knows an image as "sha256:' },
    { args: ['a', '--image', '0123abcd'], code: 'bad-flag', exitCode: 2, message: '--image: no engine knows an image as "0123abcd"' },
    { args: ['a', '--ip-family', 'ipv5'], code: 'bad-flag', exitCode: 2, message: '--ip-family: "ipv5" is none of' },
  ])('$args: $code', async ({ args, code, exitCode, message }) => {
    const error = await (await place()).refused('kind', 'config', ...args);
    expect(error).toMatchObject({ code, exitCode });
    expect(error.message).toContain(message);
  });

  test.each([
    {
      runtime: 'CRI-O',
      path: 'usr/bin/crio',
      labels: LABELS,
      code: 'no-containerd',
      message: "has cri-o: kind's nodes run containerd",
    },
    { runtime: 'none', path: 'etc/containerd/config.toml', labels: {}, code: 'not-a-node-image', message: "is not a node image of kvci's" },
  ])('an image of $runtime', async ({ path, labels, code, message }) => {
    const here = await place();
    await storedImage(here, 'localhost/other:1', path, labels);
    const error = await here.refused('kind', 'config', 'localhost/other:1');
    expect(error).toMatchObject({ code, exitCode: 2 });
    expect(error.message).toContain(message);
  });

  test('is that of the image, by the name that its engine has for it', async () => {
    const here = await place();
    await storedImage(here, 'localhost/node:1', 'etc/containerd/config.toml', LABELS);
    const { stdout, code } = await here.run('kind', 'config', 'localhost/node:1', '--image', 'far.example/node:2', '--ip-family', 'ipv6');
    expect(code).toBe(0);
    expect(parse(stdout)).toMatchObject({
      networking: { ipFamily: 'ipv6' },
      nodes: [{ role: 'control-plane', image: 'far.example/node:2' }, { role: 'worker' }],
    });
  });
});

/** An image of one file in kvci's store. */
async function storedImage({ cache }: Place, ref: string, path: string, labels: Readonly<Record<string, string>>): Promise<void> {
  const layout = await createLayout(join(cache, 'images'), layoutTools);
  const layers = [await writeLayer(layout, [treeEntry(path)], { compression: 'gzip', mtime: 0 })];
  await assembleImage(layout, {
    layers,
    architecture: TEST_ARCHITECTURE,
    created: '2026-11-26T00:00:00Z',
    config: { Labels: labels },
    refs: [ref],
  });
}
