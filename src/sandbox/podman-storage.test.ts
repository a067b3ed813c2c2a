import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { hostCommands } from '../host/adapters/execa-commands.ts';
import { systemClock } from '../host/clock.ts';
import { fileLocks } from '../host/locks.ts';
import type { CommandRunner } from '../host/types.ts';
import { engineStorage, type StorageParts } from './podman-storage.ts';

/** What `du` answers for storage in which an engine works, run on the host instead of in a sandbox. */
async function sizeBy(du: string): Promise<number | undefined> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-storage-'));
  const cache = join(folder.path, 'cache');
  await mkdir(join(cache, 'engine/scratch'), { recursive: true });
  await writeFile(join(folder.path, 'du'), `#!/bin/sh\n${du}\n`, { mode: 0o755 });
  const host = hostCommands(() => undefined, systemClock);
  const box: CommandRunner & AsyncDisposable = {
    where: 'host',
    run: (argv, options) => host.run(argv, { ...options, env: { PATH: `${folder.path}:/usr/bin:/bin` } }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const parts = {
    directories: { cache },
    locks: fileLocks(systemClock),
    sandboxes: { startOverHost: () => Promise.resolve(box) },
    signal: new AbortController().signal,
  };
  return (await engineStorage(parts as unknown as StorageParts))?.size;
}

test.each([
  ['in peace', 'printf "4096\\t/engine\\n"', 4096],
  ['while files vanish', 'printf "4096\\t/engine\\n"; echo "du: cannot access \'/engine/x\': No such file or directory" >&2; exit 1', 4096],
  ['when it is gone as a whole', 'echo "du: cannot access \'/engine\': No such file or directory" >&2; exit 1', undefined],
])('the size of the storage is told %s', async (_when, du, size) => {
  expect(await sizeBy(du)).toBe(size);
});

test('another failure of du is one', async () => {
  await expect(sizeBy('echo "du: broken" >&2; exit 2')).rejects.toMatchObject({ name: 'KvciError' });
});
