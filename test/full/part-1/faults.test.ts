import { execFile } from 'node:child_process';
import { cp, mkdtemp, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { sha256 } from '../../../src/core/digest.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { MEDIA_TYPES } from '../../../src/oci/types.ts';
import { REPOSITORY, run, type Run } from '../../cli/run-kvci.ts';
import { type FileServer, serveFiles, tarball } from '../../fixtures/http-release-server.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { type StartedKvci, startKvci } from '../../fixtures/started-kvci.ts';

/*
 * What kvci leaves behind when it is stopped, killed, robbed of its engine or out of space in the middle of a build: a cache of
 * its own, the engine that kvci starts. Each fault finds what the one before it left; at the end the same build has to give the
 * digest of the build that nobody disturbed.
 */

const KVCI = join(REPOSITORY, 'kvci');
const BUILD = ['image', 'build', '--k8s', '1.36', '--payload', 'modules', '--engine', 'embedded', '--output', 'json'];
const PROGRESS = ['-v', '--progress', 'plain'];

let folder: string;
let cache: string;
let env: Readonly<Record<string, string>>;
let undisturbed: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-faults-'));
  cache = join(folder, 'cache');
  env = { KVCI_CACHE_DIR: cache, KVCI_STATE_DIR: join(folder, 'state'), KVCI_RUNTIME_DIR: join(folder, 'run') };
  await mkdir(cache);
  await shareArtifacts();
  undisturbed = digestOf(await kvci(BUILD));
});

afterAll(async () => {
  await kvci(['cache', 'prune', '--keep', '0']);
  await rm(folder, { recursive: true, force: true });
});

/** Hard links of what the user's cache holds, but for what is tested: programs and packages need not be made again. */
async function shareArtifacts(): Promise<void> {
  const { KVCI_CACHE_DIR: own, XDG_CACHE_HOME: home = join(homedir(), '.cache') } = process.env;
  const from = join(own ?? join(home, 'kvci'), 'artifacts');
  await mkdir(join(cache, 'artifacts'));
  for (const kind of ['go-programs', 'control-plane-images', 'debian-packages', 'debian-base-layer', 'tools']) {
    // Another file system, or nothing there: then it is made anew or copied.
    await promisify(execFile)('cp', ['--archive', '--link', join(from, kind), join(cache, 'artifacts', kind)]).catch(() =>
      cp(join(from, kind), join(cache, 'artifacts', kind), { recursive: true, force: true, preserveTimestamps: true }).catch(
        () => undefined,
      ),
    );
  }
}

function kvci(args: readonly string[]): Promise<Run> {
  return run(KVCI, args, { cwd: folder, env });
}

function digestOf({ code, stdout, stderr }: Run): string {
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return (JSON.parse(stdout) as { readonly digest: string }).digest;
}

function start(args: readonly string[]): StartedKvci {
  return startKvci([...args, ...PROGRESS], { cwd: folder, env });
}

/** Command lines, by pid, of all processes that run in or over the folder of this test. */
async function holders(): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const read = (file: string): Promise<string> => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    const [command, mounts] = [await read('cmdline'), await read('mountinfo')];
    if (command !== '' && (command.includes(folder) || mounts.includes(folder))) found.set(Number(name), command.replaceAll('\0', ' '));
  }
  return found;
}

/** The kernel ends what a killed process held a moment after it. */
async function nothingRuns(): Promise<void> {
  const deadline = systemClock.monotonic() + 60_000;
  for (let left = await holders(); left.size > 0; left = await holders()) {
    if (systemClock.monotonic() > deadline) throw new Error(`still there: ${[...left.values()].join('; ')}`);
    await systemClock.wait(50);
  }
}

/** Prunes, and finds nothing unfinished afterwards. */
async function pruned(): Promise<void> {
  expect(await kvci(['prune'])).toMatchObject({ code: 0 });
  const names = await readdir(join(cache, 'artifacts'), { recursive: true });
  expect(names.filter((name) => name.endsWith('.partial') || name.includes('.tmp-'))).toEqual([]);
  expect(await readdir(join(cache, 'temporary')).catch(() => [])).toEqual([]);
}

describe('a base of somebody else’s', () => {
  test.each([
    { lacks: 'systemd', contents: { 'usr/lib/os-release': 'ID=debian\nVERSION_ID="13"\n' } },
    { lacks: 'os-release', contents: { 'usr/lib/systemd/systemd': '' } },
  ])('without $lacks is refused by that name', async ({ lacks, contents }) => {
    await using server = await serveFiles();
    const ref = publish(server, await tarball(contents));
    const { code, stdout } = await kvci([...BUILD, '--base', ref]);
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 2,
      error: { code: 'base-without-system', message: `${ref} is no system that boots: it has no ${lacks}` },
    });
    await pruned();
  });
});

/** Publishes an image of one layer; answers its reference. */
function publish({ files, host }: FileServer, layer: Buffer): string {
  const put = (kind: 'blobs' | 'manifests', content: Buffer, mediaType: string) => {
    const digest = sha256(content);
    files.set(`/v2/base/${kind}/${digest}`, content);
    return { mediaType, digest, size: content.length };
  };
  const config = {
    os: 'linux',
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    rootfs: { type: 'layers', diff_ids: [sha256(gunzipSync(layer))] },
  };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: put('blobs', Buffer.from(JSON.stringify(config)), MEDIA_TYPES.config),
      layers: [put('blobs', layer, MEDIA_TYPES.layerGzip)],
    }),
  );
  put('manifests', manifest, MEDIA_TYPES.manifest);
  files.set('/v2/base/manifests/1', manifest);
  return `${host}/base:1`;
}

describe.each([
  { words: '==> node image layers', signal: 'SIGKILL' },
  { words: 'STEP 2/', signal: 'SIGINT' },
  { words: 'STEP 4/', signal: 'SIGKILL' },
  { words: 'taking the image out of the engine', signal: 'SIGINT' },
  { words: 'normalising', signal: 'SIGKILL' },
] as const)('$signal at "$words"', ({ words, signal }) => {
  test('ends with its exit code, and nothing of it is left', async () => {
    const build = start([...BUILD, '--no-cache']);
    await build.said(words);
    build.child.kill(signal);
    const { code, signal: ended, stdout } = await build.ended();
    if (signal === 'SIGINT') {
      expect({ code, ended }).toEqual({ code: 130, ended: null });
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'cancelled', exitCode: 130 } });
    } else expect({ code, ended, stdout }).toEqual({ code: null, ended: 'SIGKILL', stdout: '' });
    await nothingRuns();
    await pruned();
  });
});

test('an engine that dies in the middle of a build is named', async () => {
  const build = start([...BUILD, '--no-cache']);
  await build.said('STEP 3/');
  const service = [...(await holders())].filter(([, command]) => command.startsWith('podman system service'));
  expect(service).toHaveLength(1);
  for (const [pid] of service) process.kill(pid, 'SIGKILL');
  const { code, stdout } = await build.ended();
  expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 1, error: { code: 'engine-lost', exitCode: 1 } });
  await nothingRuns();
  await pruned();
});

describe('a full disk', () => {
  const problem = process.getuid?.() === 0 ? undefined : 'a file system of its own needs root';
  test.skipIf(isMissing('root', problem))('is named, and nothing half-written stays', async () => {
    const layers = join(cache, 'artifacts/node-layers');
    await mkdir(layers, { recursive: true });
    // In a mount namespace of its own, which ends with the build.
    const script =
      'mount -t tmpfs -o size=16m tmpfs "$1" || exit 99; shift; folder=$1; shift; "$@"; code=$?; ls -A "$folder" >&2; exit $code';
    const { code, stdout, stderr } = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', layers, layers, KVCI, ...BUILD, '-q'], {
      cwd: folder,
      env,
    });
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 3, error: { code: 'disk-full', exitCode: 3 } });
    expect(stderr).not.toMatch(/^[0-9a-f]{64}/m);
    await nothingRuns();
    await pruned();
  });
});

test('two builds at once after all that: one waits, both end with the digest of the undisturbed build', async () => {
  const builds = [start(BUILD), start(BUILD)];
  const results = await Promise.all(builds.map((build) => build.ended()));
  for (const { code, stdout } of results) {
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ digest: undisturbed });
  }
  expect(builds.filter(({ lines }) => lines.some((line) => line.includes('another kvci')))).toHaveLength(1);
  await nothingRuns();
});
