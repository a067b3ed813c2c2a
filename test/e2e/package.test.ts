import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { REPOSITORY, type Run, run, temporaryFolder } from '../cli/run-kvci.ts';

/* The npm package: packed, installed in an empty folder, run from another one with a Node that is too old on PATH. */

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let files: readonly string[];

beforeAll(async () => {
  folder = await temporaryFolder();
  const packed = await run('npm', ['pack', '--json', '--pack-destination', folder.path], { cwd: REPOSITORY });
  if (packed.code !== 0) throw new Error(packed.stdout + packed.stderr);
  const [about] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('['))) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ];
  files = about.files.map((file) => file.path);
  await mkdir(join(folder.path, 'app'));
  await writeFile(join(folder.path, 'app/package.json'), '{ "private": true }');
  const installed = await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', join(folder.path, about.filename)], {
    cwd: join(folder.path, 'app'),
  });
  if (installed.code !== 0) throw new Error(installed.stdout + installed.stderr);
});

afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

/** The installed command, as a link in node_modules/.bin, with a host's Node that cannot run it. */
async function installed(args: readonly string[]): Promise<Run> {
  const old = join(folder.path, 'old-node');
  await mkdir(old, { recursive: true });
  await writeFile(join(old, 'node'), '#!/bin/sh\necho "v12: too old" >&2; exit 9\n', { mode: 0o755 });
  return run(join(folder.path, 'app/node_modules/.bin/kvci'), args, { cwd: folder.path, env: { PATH: `${old}:/usr/bin:/bin` } });
}

test('it holds what is needed to run, and no sources or tests', () => {
  const tops = new Set(files.map((file) => file.split('/')[0]));
  expect([...tops].toSorted()).toEqual(['LICENSE', 'README.md', 'containerfiles', 'dist', 'kvci', 'package.json', 'schema', 'templates']);
  expect(files).toContain('dist/main.js');
  expect(files.includes('dist/revision')).toBe(existsSync(join(REPOSITORY, '.git')));
  expect(files).toContain('schema/kvci.schema.json');
  expect(files.filter((file) => file.includes('.test.'))).toEqual([]);
});

test('it runs with the pinned Node', async () => {
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { readonly version: string };
  expect(await installed(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  const { code, stdout } = await installed(['version', '--output', 'json']);
  expect(code).toBe(0);
  expect((JSON.parse(stdout) as { readonly node: string }).node).toMatch(/^24\./);
});

test('commands are there: one that reads kvci.yaml, one that looks at the host', async () => {
  expect((await installed(['image', 'build', '--bsae', 'x'])).stderr).toContain('Did you mean --base?');
  const schema = await installed(['config', 'schema']);
  expect(JSON.parse(schema.stdout)).toEqual(JSON.parse(readFileSync(join(REPOSITORY, 'schema/kvci.schema.json'), 'utf8')));
  const doctor = await installed(['doctor', '--output', 'json']);
  expect([0, 3]).toContain(doctor.code);
  expect(JSON.parse(doctor.stdout)).toHaveProperty('checks');
});

test('development tools are not installed with it', () => {
  expect(existsSync(join(folder.path, 'app/node_modules/commander'))).toBe(true);
  expect(existsSync(join(folder.path, 'app/node_modules/vitest'))).toBe(false);
});
