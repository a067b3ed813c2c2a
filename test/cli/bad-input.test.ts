import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { place } from './place.ts';

/*
 * Input that is refused before anything is made: no network, no engine, no compiler. What each of these needs is in the test's
 * own folder, so that a mistake that is overlooked fails for want of a tools image and does not start to build one.
 */

const BUILD = ['image', 'build', '--offline', '--k8s', '1.31'] as const;

describe('flags of image build', () => {
  test.each([
    {
      what: 'a version that is none',
      args: ['--k8s', 'nonsense'],
      code: 'bad-flag',
      message: '--k8s: "nonsense" is not a Kubernetes version',
    },
    {
      what: 'a version that is too old',
      args: ['--k8s', '1.30'],
      code: 'bad-flag',
      message: '--k8s: Kubernetes 1.30 is older than 1.31, the oldest that kvci builds',
    },
    {
      what: 'an unknown payload source',
      args: ['--payload', 'modul'],
      code: 'bad-flag',
      message: '--payload: "modul" is not a payload source',
    },
    { what: 'dir: without a folder', args: ['--payload', 'dir:'], code: 'bad-flag', message: '--payload: "dir:" is not a payload source' },
    {
      what: 'a destination that is not absolute',
      args: ['--file', './motd:etc/motd'],
      code: 'bad-flag',
      message: '--file: "./motd:etc/motd" is not of the form SRC:DST with an absolute DST',
    },
    {
      what: 'a destination in /var',
      args: ['--file', './motd:/var/motd'],
      code: 'bad-flag',
      message: '--file: "./motd:/var/motd" puts a file where an image keeps nothing (/var, /run, /tmp, /proc, /sys, /dev)',
    },
    { what: 'a label without a key', args: ['--label', '=x'], code: 'bad-flag', message: '--label: "=x" is not of the form KEY=VALUE' },
    {
      what: 'a label whose key has a space',
      args: ['--label', 'a b=c'],
      code: 'bad-flag',
      message: '--label: "a b": the key of a label is printable ASCII without spaces and "="',
    },
    {
      what: 'a label whose key is not ASCII',
      args: ['--label', 'größe=c'],
      code: 'bad-flag',
      message: '--label: "größe": the key of a label is printable ASCII without spaces and "="',
    },
    {
      what: 'a label of two lines',
      args: ['--label', 'a=b\nRUN true'],
      code: 'bad-flag',
      message: '--label: the value of a label has one line',
    },
    { what: 'an unknown architecture', args: ['--arch', 'sparc'], code: 'bad-flag', message: '--arch: expected one of "amd64"|"arm64"' },
    { what: 'a package name with a semicolon', args: ['--package', 'a;b'], code: 'bad-flag', message: '--package: not a package name' },
    { what: 'a kernel name with a semicolon', args: ['--kernel', 'a;b'], code: 'bad-flag', message: '--kernel: not a package name' },
    {
      what: 'a tag with upper-case letters',
      args: ['--tag', 'a/Node'],
      code: 'bad-flag',
      message: '--tag: "a/Node" is not an image reference: ',
    },
    {
      what: 'a tag that is a digest',
      args: ['--tag', `x@sha256:${'0'.repeat(64)}`],
      code: 'bad-flag',
      message: `--tag: "x@sha256:${'0'.repeat(64)}" names a digest, which an image is not tagged with`,
    },
    { what: 'an unknown engine', args: ['--engine', 'foo'], code: 'bad-engine-url', message: '"foo" is not an engine' },
    {
      what: 'a base that is neither known nor a reference',
      args: ['--base', 'debain-13'],
      code: 'unknown-base',
      message: '"debain-13" is neither a distribution that kvci knows nor an image reference',
    },
  ])('$what', async ({ args, code, message }) => {
    const here = await place();
    const error = await here.refused(...BUILD, ...args);
    expect(error).toMatchObject({ code, exitCode: 2 });
    expect(error.message).toContain(message);
    expect(await readdir(here.path)).toEqual([]);
  });

  test('an unknown base suggests the nearest and lists all', async () => {
    const { stderr } = await (await place()).run(...BUILD, '--base', 'debain-13');
    expect(stderr).toContain('hint: Did you mean "debian-13"? Known: debian-13, centos-stream-9, centos-stream-10, fedora-NN.');
  });

  test('a file that is not there is named with its flag', async () => {
    const here = await place();
    expect(await here.refused(...BUILD, '--file', 'motd:/etc/motd')).toMatchObject({
      code: 'bad-file',
      message: `--file motd:/etc/motd: ${join(here.path, 'motd')} cannot be read`,
      exitCode: 2,
    });
  });

  test('a fresh cache and --offline say what is missing, and nothing is written', async () => {
    const here = await place();
    expect((await here.refused(...BUILD, '--progress', 'none')).exitCode).toBe(3);
    expect(await readdir(here.path)).toEqual([]);
  });
});

describe('kvci.yaml', () => {
  test.each([
    { what: 'bad YAML', text: 'image:\n  k8s: "1.31\n', places: [[3, 1]] },
    { what: 'a wrong type', text: 'image:\n  k8s: "1.31"\n  packages: tcpdump\n', places: [[3, 13]] },
    { what: 'a number for a text', text: 'image:\n  k8s: 1.31\n', places: [[2, 8]] },
    {
      what: 'unknown keys',
      text: 'image:\n  k8s: "1.31"\n  paylaod: auto\nengien: podman\n',
      places: [
        [3, 3],
        [4, 1],
      ],
    },
    { what: 'a bad value', text: 'image:\n  k8s: "1.9"\n', places: [[2, 8]] },
    { what: 'a tag that is none', text: 'image:\n  k8s: "1.31"\n  tags: [a/Node]\n', places: [[3, 10]] },
    { what: 'the same key twice', text: 'image:\n  k8s: "1.31"\n  k8s: "1.36"\n', places: [[3, 3]] },
  ])('$what', async ({ text, places }) => {
    const here = await place({ 'kvci.yaml': text });
    const { code, stdout, stderr } = await here.run(...BUILD.slice(0, 3));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const [line, column] of places) expect(stderr).toContain(`kvci.yaml:${line}:${column}: `);
  });

  test('an unknown key suggests the nearest', async () => {
    const here = await place({ 'kvci.yaml': 'image:\n  k8s: "1.31"\n  paylaod: auto\n' });
    expect((await here.run(...BUILD.slice(0, 3))).stderr).toContain('hint: Did you mean "payload"?');
  });
});

describe('the lock', () => {
  test.each([
    { what: 'that is not JSON', text: '{', message: 'it is not JSON' },
    { what: 'of another version', text: '{"version":2,"packages":{},"payloads":{},"images":{}}', message: 'version: ' },
    { what: 'with a broken digest', text: '{"version":1,"packages":{},"payloads":{},"images":{"x":"sha256:0"}}', message: 'images.x: ' },
    { what: 'with an unknown key', text: '{"version":1,"packages":{},"payloads":{},"images":{},"more":1}', message: '"more"' },
  ])('a file $what', async ({ text, message }) => {
    const here = await place({ 'kvci.lock': text });
    const error = await here.refused(...BUILD);
    expect(error).toMatchObject({ code: 'lock-broken', exitCode: 2 });
    expect(error.message).toContain(`${join(here.path, 'kvci.lock')} cannot be used: `);
    expect(error.message).toContain(message);
  });

  test('--locked without a file', async () => {
    expect(await (await place()).refused(...BUILD, '--locked')).toMatchObject({
      code: 'lock-missing',
      exitCode: 2,
      hint: 'Run "kvci image lock" with the same options first.',
    });
  });

  test('--locked with a file that lacks something says what', async () => {
    const here = await place({ 'kvci.lock': '{"version":1,"packages":{},"payloads":{},"images":{}}' });
    const error = await here.refused(...BUILD, '--locked');
    expect(error).toMatchObject({ code: 'lock-incomplete', exitCode: 2 });
    expect(error.message).toMatch(/kvci\.lock does not hold the .+, and --locked forbids to resolve it/);
  });

  test('a folder in its place', async () => {
    expect(await (await place()).refused(...BUILD, '--lock', '.')).toMatchObject({ code: 'lock-unreadable', exitCode: 2 });
  });

  test('a folder that is not there is told before anything is resolved', async () => {
    expect(await (await place()).refused(...BUILD, '--lock', 'nowhere/kvci.lock')).toMatchObject({ code: 'lock-unwritable', exitCode: 2 });
  });
});

describe('images and files that are not there or are something else', () => {
  test.each([
    { args: ['image', 'inspect', 'localhost/none:x'], code: 'image-not-found', exitCode: 5 },
    { args: ['image', 'inspect', 'sha256:zz'], code: 'image-not-found', exitCode: 5 },
    { args: ['image', 'rm', 'localhost/none:x'], code: 'image-not-found', exitCode: 5 },
    { args: ['image', 'diff', 'a', 'b'], code: 'image-not-found', exitCode: 5 },
    { args: ['image', 'check', 'localhost/none:x'], code: 'image-not-found', exitCode: 5 },
    { args: ['image', 'save', 'localhost/none:x', 'node.tar'], code: 'image-not-found', exitCode: 5 },
    { args: ['image', 'load', 'nowhere.tar'], code: 'archive-missing', exitCode: 5 },
    { args: ['image', 'load', '.'], code: 'not-an-archive', exitCode: 2 },
  ])('$args', async ({ args, code, exitCode }) => {
    const here = await place();
    expect(await here.refused(...args)).toMatchObject({ code, exitCode });
    expect(await readdir(here.path)).toEqual([]);
  });

  test('an archive that is none is named, and the store stays empty', async () => {
    const here = await place({ 'node.tar': 'not a tar\n' });
    const { code, stderr } = await here.run('image', 'load', 'node.tar');
    expect(code).toBe(1);
    expect(stderr).toContain(`kvci: ${join(here.path, 'node.tar')}: `);
    expect(JSON.parse((await here.run('image', 'list', '--output', 'json')).stdout)).toEqual({ images: [] });
  });
});
