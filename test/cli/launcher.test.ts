import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { arch } from 'node:process';

import { describe, expect, test } from 'vitest';

import { type Run, REPOSITORY, run, temporaryFolder } from './run-kvci.ts';

/*
 * The launcher alone, in a made-up checkout. npm is played by a script that "installs" the Node that runs this test and writes
 * a line to a log; a real first start is part of the package test and of the README's way.
 */

const LINE = 'kvci: first start: installing Node.js and the locked dependencies with npm\n';
const MAIN =
  'console.log(JSON.stringify({ argv: process.argv.slice(2), main: import.meta.filename, cache: process.env.NODE_COMPILE_CACHE }));\n';

interface Checkout extends AsyncDisposable {
  readonly path: string;
  readonly kvci: string;
  start(args?: readonly string[], env?: Readonly<Record<string, string>>): Promise<Run>;
  /** How many installs were begun, and with what arguments. */
  installs(): Promise<string[]>;
}

/** @param npm what the played npm does after it has logged its start */
async function checkout(npm = 'finish'): Promise<Checkout> {
  const folder = await temporaryFolder();
  const path = join(folder.path, 'checkout');
  const bin = join(folder.path, 'bin');
  const log = join(folder.path, 'npm.log');
  await mkdir(join(path, 'src'), { recursive: true });
  await mkdir(bin);
  await copyFile(join(REPOSITORY, 'kvci'), join(path, 'kvci'));
  await writeFile(join(path, 'src/main.ts'), MAIN);
  await writeFile(join(path, 'package.json'), '{ "type": "module" }');
  await writeFile(join(path, 'package-lock.json'), '{ "lockfileVersion": 3 }');
  await writeFile(
    join(bin, 'npm'),
    `#!/bin/sh
echo "$@" >>'${log}'
finish() {
  mkdir -p node_modules/node-linux-${arch}/bin
  ln -s '${process.execPath}' node_modules/node-linux-${arch}/bin/node
  echo '{}' >node_modules/.package-lock.json
}
${npm}
`,
  );
  await chmod(join(bin, 'npm'), 0o755);
  const kvci = join(path, 'kvci');
  return {
    path,
    kvci,
    start: (args = [], env = {}) =>
      run(kvci, args, {
        env: { PATH: `${bin}:/usr/bin:/bin`, XDG_CACHE_HOME: join(folder.path, 'cache'), NODE_COMPILE_CACHE: '', ...env },
      }),
    installs: async () => (existsSync(log) ? (await readFile(log, 'utf8')).trimEnd().split('\n') : []),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test('the first start installs once, with one line that says so', async () => {
  await using fresh = await checkout();
  const first = await fresh.start(['a b', '--c']);
  expect(first).toMatchObject({ code: 0, stderr: LINE });
  expect(JSON.parse(first.stdout)).toMatchObject({ argv: ['a b', '--c'], main: join(fresh.path, 'src/main.ts') });
  expect(await fresh.start()).toMatchObject({ code: 0, stderr: '' });
  expect(await fresh.installs()).toEqual(['ci --ignore-scripts --no-audit --no-fund --loglevel=error']);
});

test('two first starts at the same time install once', async () => {
  await using fresh = await checkout('sleep 0.3; finish');
  const both = await Promise.all([fresh.start(), fresh.start()]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(both.map(({ stderr }) => stderr).toSorted()).toEqual(['', LINE]);
  expect(await fresh.installs()).toHaveLength(1);
});

test('an install that was killed is done again and leaves nothing half-made', async () => {
  await using fresh = await checkout(
    'mkdir node_modules; [ -e ../../killed ] || { touch ../../killed; kill -9 $PPID; exit; }; rmdir node_modules; finish',
  );
  expect((await fresh.start()).code).not.toBe(0);
  expect(existsSync(join(fresh.path, 'node_modules'))).toBe(false);
  expect(await fresh.start()).toMatchObject({ code: 0, stderr: LINE });
  expect(await fresh.installs()).toHaveLength(2);
});

test('a changed lock installs anew, the same lock with a new date does not', async () => {
  await using fresh = await checkout();
  await fresh.start();
  const later = new Date(Date.now() + 10_000);
  await utimes(join(fresh.path, 'package-lock.json'), later, later);
  expect((await fresh.start()).stderr).toBe('');
  await writeFile(join(fresh.path, 'package-lock.json'), '{ "lockfileVersion": 3, "packages": {} }');
  await utimes(join(fresh.path, 'package-lock.json'), new Date(Date.now() + 20_000), new Date(Date.now() + 20_000));
  expect((await fresh.start()).stderr).toBe(LINE);
  expect((await fresh.start()).stderr).toBe('');
});

test('what npm says is shown when it fails', async () => {
  await using fresh = await checkout('echo "no route to the registry" >&2; exit 1');
  const { code, stderr } = await fresh.start();
  expect(code).toBe(3);
  expect(stderr).toContain('no route to the registry\nkvci: npm could not install the locked dependencies\nhint: ');
});

test('--offline goes to npm as well', async () => {
  await using fresh = await checkout();
  await fresh.start(['doctor', '--offline']);
  expect((await fresh.installs())[0]).toContain('--offline');
});

test('without npm it says what to do', async () => {
  await using fresh = await checkout();
  await using empty = await temporaryFolder();
  for (const tool of ['flock', 'mkdir', 'rm', 'cmp']) await symlink(`/usr/bin/${tool}`, join(empty.path, tool));
  const { code, stderr } = await fresh.start([], { PATH: empty.path });
  expect(code).toBe(3);
  expect(stderr).toContain('there is no npm to install it with\nhint: Install npm');
});

test('npm is run by the Node it was installed with where none is on PATH', async () => {
  await using fresh = await checkout();
  await using prefix = await temporaryFolder();
  const npm = join(prefix.path, 'lib/node_modules/npm/bin/npm-cli.js');
  const tools = join(prefix.path, 'tools');
  await mkdir(dirname(npm), { recursive: true });
  await mkdir(join(prefix.path, 'bin'));
  await mkdir(tools);
  await writeFile(
    npm,
    `#!/usr/bin/env node
    const { mkdirSync, symlinkSync, writeFileSync } = require('node:fs');
    mkdirSync('node_modules/node-linux-${arch}/bin', { recursive: true });
    symlinkSync(process.execPath, 'node_modules/node-linux-${arch}/bin/node');
    writeFileSync('node_modules/.package-lock.json', '{}');`,
  );
  await chmod(npm, 0o755);
  await symlink(npm, join(tools, 'npm'));
  await symlink(process.execPath, join(prefix.path, 'bin/node'));
  for (const tool of ['flock', 'mkdir', 'rm', 'cmp', 'cp', 'mv', 'touch', 'cat', 'readlink', 'env'])
    await symlink(`/usr/bin/${tool}`, join(tools, tool));
  expect(await fresh.start([], { PATH: tools })).toMatchObject({ code: 0, stderr: LINE });
});

describe('where it is found', () => {
  test('through links, relative and absolute', async () => {
    await using fresh = await checkout();
    await using elsewhere = await temporaryFolder();
    await symlink(fresh.kvci, join(elsewhere.path, 'absolute'));
    await symlink('absolute', join(elsewhere.path, 'relative'));
    await fresh.start();
    const { stdout } = await run(join(elsewhere.path, 'relative'), ['x']);
    expect(JSON.parse(stdout)).toMatchObject({ argv: ['x'], main: join(fresh.path, 'src/main.ts') });
  });

  test('the compile cache lies in the user’s cache unless the user has one', async () => {
    await using fresh = await checkout();
    await using cache = await temporaryFolder();
    const own = JSON.parse((await fresh.start([], { XDG_CACHE_HOME: cache.path })).stdout) as { readonly cache: string };
    expect(own.cache).toBe(join(cache.path, 'kvci/node'));
    const given = JSON.parse((await fresh.start([], { NODE_COMPILE_CACHE: '/given' })).stdout) as { readonly cache: string };
    expect(given.cache).toBe('/given');
  });
});
