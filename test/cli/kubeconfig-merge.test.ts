import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';
import { parse } from 'yaml';

import { state } from './cluster-state.ts';
import { place } from './place.ts';
import { kvci, type Run } from './run-kvci.ts';

test('a kubeconfig goes into that of its user, which keeps what it had, and a file that is none stays as it is', async () => {
  const own = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'kvci-lab', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'kvci-lab', user: {} }],
    contexts: [{ name: 'kvci-lab', context: { cluster: 'kvci-lab', user: 'kvci-lab' } }],
    'current-context': 'kvci-lab',
  };
  const here = await place({
    '../state/clusters/lab/state.json': state(),
    '../state/clusters/lab/kubeconfig': JSON.stringify(own),
    theirs: JSON.stringify({ ...own, clusters: [{ name: 'work', cluster: {} }], users: [], contexts: [], 'current-context': 'work' }),
    none: 'clusters: 5',
  });
  const merge = (file: string): Promise<Run> =>
    kvci(['kubeconfig', 'lab', '--merge', '--output', 'json'], {
      cwd: here.path,
      env: { KVCI_CACHE_DIR: here.cache, KVCI_STATE_DIR: here.state, KUBECONFIG: join(here.path, file) },
    });
  expect((await merge('theirs')).code).toBe(0);
  const merged = parse(await readFile(join(here.path, 'theirs'), 'utf8')) as typeof own;
  expect(merged.clusters.map(({ name }) => name)).toEqual(['work', 'kvci-lab']);
  expect((await merge('new/config')).code).toBe(0);
  expect((await stat(join(here.path, 'new/config'))).mode & 0o777).toBe(0o600);
  expect((await merge('none')).code).toBe(2);
  expect(await readFile(join(here.path, 'none'), 'utf8')).toBe('clusters: 5');
});
