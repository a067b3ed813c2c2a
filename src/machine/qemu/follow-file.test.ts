import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { followFile } from './follow-file.ts';

it('a file is followed from its start while it grows', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-follow-'));
  try {
    const path = join(folder, 'log');
    await writeFile(path, 'one ');
    const enough = new AbortController();
    let seen = '';
    for await (const piece of followFile(path, enough.signal)) {
      seen += piece.toString();
      if (seen === 'one ') await appendFile(path, 'two ');
      else if (seen === 'one two ') await appendFile(path, 'three');
      else enough.abort();
    }
    expect(seen).toBe('one two three');
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('what is written right after the file was read to its end is seen, though nothing more comes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-follow-'));
  const enough = new AbortController();
  try {
    const path = join(folder, 'log');
    await writeFile(path, 'one ');
    const pieces = followFile(path, enough.signal);
    expect((await pieces.next()).value?.toString()).toBe('one ');
    const next = pieces.next();
    // Its look for more is under way, and its answer waits for this thread, which does not let go until the file has grown.
    execFileSync('sh', ['-c', 'printf two >>"$1"', 'sh', path]);
    expect((await next).value?.toString()).toBe('two');
    // Whoever has enough lets go without a signal, too.
    await pieces.return();
  } finally {
    enough.abort();
    await rm(folder, { recursive: true });
  }
});
