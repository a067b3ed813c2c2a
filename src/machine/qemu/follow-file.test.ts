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
