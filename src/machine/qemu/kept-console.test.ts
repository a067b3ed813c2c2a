import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { keepConsole } from './kept-console.ts';

it('the newest consoles are kept', async () => {
  const state = await mkdtemp(join(tmpdir(), 'kvci-consoles-'));
  try {
    const file = join(state, 'console.log');
    await writeFile(file, 'Kernel panic');
    const kept: string[] = [];
    for (let minute = 0; minute < 13; minute += 1) kept.push(await keepConsole(file, 'node01', state, Date.UTC(2026, 0, 1, 0, minute)));
    expect(kept[0]).toBe(join(state, 'consoles', '2026-01-01T000000.000Z-node01.log'));
    expect(await readFile(kept.at(-1) ?? '', 'utf8')).toBe('Kernel panic');
    const left = (await readdir(join(state, 'consoles'))).toSorted().map((name) => join(state, 'consoles', name));
    expect(left).toEqual(kept.slice(-10));
  } finally {
    await rm(state, { recursive: true });
  }
});
