import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';

import { scratchFolder } from '../../../test/fixtures/layouts.ts';
import { hostCommands } from '../../host/adapters/execa-commands.ts';
import { systemClock } from '../../host/clock.ts';
import type { CommandRunner } from '../../host/types.ts';
import { containerdImages } from './containerd.ts';

/* The commands as a node's shell runs them; ctr is one that does what the test says. The real one: test/full/part-6/load.test.ts. */

const NEVER = new AbortController().signal;

/** @param script what `ctr images import` does @param help what it says of itself */
async function nodeWith(script: string, help = ''): Promise<{ readonly node: CommandRunner; readonly log: () => Promise<string> }> {
  const folder = scratchFolder();
  await mkdir(join(folder, 'bin'));
  const cases = `case "$*" in
*--help) echo '${help}' ;;
*import*) touch ${folder}/imported; ${script} ;;
*'leases create') echo lease1 ;;
*'images ls') [ -e ${folder}/imported ] && cat ${folder}/after || cat ${folder}/before ;;
esac`;
  await writeFile(join(folder, 'bin', 'ctr'), `#!/bin/sh\necho "$*" >>${folder}/log\n${cases}\n`);
  await chmod(join(folder, 'bin', 'ctr'), 0o755);
  const table = (...rows: readonly string[]): string => ['REF TYPE DIGEST SIZE', ...rows].map((row) => `${row}\n`).join('');
  const rows = [`example.org/before:1 t ${NAMED} 1`, `example.org/unlike:1 t ${OTHER} 1`];
  await writeFile(join(folder, 'before'), table(...rows, `example.org/moved:1 t ${OTHER} 1`));
  await writeFile(
    join(folder, 'after'),
    table(...rows, ...['example.org/moved:1', 'example.org/named:1', 'sha256:id'].map((name) => `${name} t ${NAMED} 1`)),
  );
  const host = hostCommands(() => undefined, systemClock);
  const env = { PATH: `${folder}/bin:/usr/bin:/bin` };
  return {
    node: { where: 'node01', run: (argv, options) => host.run(inFolder(argv, folder), { ...options, env }) },
    log: () => readFile(join(folder, 'log'), 'utf8'),
  };
}

const NAMED = `sha256:${'a'.repeat(64)}` as const;
const OTHER = `sha256:${'b'.repeat(64)}` as const;

/** Locks are of the node. */
function inFolder([file, ...words]: Parameters<CommandRunner['run']>[0], folder: string): Parameters<CommandRunner['run']>[0] {
  return [file, ...words.map((word) => word.replaceAll('/run/', `${folder}/`))];
}

const large = (): Readable => Readable.from(Array.from({ length: 200 }, () => Buffer.alloc(64 * 1024)));

test.each([
  { help: '--local  use the client', flag: ' --local' },
  { help: '--digests', flag: '' },
])("takes a tar by the client's own import: $help", async ({ help, flag }) => {
  const { node, log } = await nodeWith('cat >/dev/null', help);
  await containerdImages.take(node, large(), [], NEVER);
  expect(await log()).toBe(`--namespace k8s.io images ls\nimages import --help\n--namespace k8s.io images import${flag} -\n`);
});

test('a failure in the middle is told in its own words, and what was written is let go of', async () => {
  const { node, log } = await nodeWith('head -c 1000 >/dev/null; echo "write: no space left on device" >&2; exit 1');
  await expect(containerdImages.take(node, large(), [], NEVER)).rejects.toMatchObject({
    code: 'command-failed',
    message: expect.stringContaining('no space left on device') as string,
  });
  expect((await log()).trim().split('\n').slice(-2)).toEqual([
    '--namespace k8s.io leases create',
    '--namespace k8s.io leases delete --sync lease1',
  ]);
});

test('what a failed import has named is taken away, and nothing else', async () => {
  const { node, log } = await nodeWith('cat >/dev/null; exit 1');
  const image = { name: 'example.org/named:1', digest: NAMED };
  await expect(containerdImages.take(node, large(), [image], NEVER)).rejects.toMatchObject({ code: 'command-failed' });
  expect((await log()).split('\n').filter((line) => line.includes('images rm'))).toEqual(
    // A name that was another image's, and the CRI's own name, too.
    ['example.org/moved:1', 'example.org/named:1', 'sha256:id'].map((name) => `--namespace k8s.io images rm --sync ${name}`),
  );
});
