import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

import { DIFFERENCES } from './fixtures/provider-differences.ts';

it('what docs/clusters.md tells of differences between providers is what is tested, and the other way round', async () => {
  const page = await readFile(new URL('../docs/clusters.md', import.meta.url), 'utf8');
  const [, table = ''] = /^\| differs[^\n]*\n\|[ -|]+\n((?:\|[^\n]*\n)+)/m.exec(page) ?? [];
  const rows = table
    .trimEnd()
    .split('\n')
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  expect(rows).toEqual(DIFFERENCES.map(({ what, containers, machines }) => [what, containers, machines]));
});
