import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { pidNamespace } from '../../src/host/processes.ts';
import { state } from './cluster-state.ts';
import { type Place, place } from './place.ts';

/* Snapshots that are asked for wrongly. No machine is started here. */

/** A cluster "lab". */
const withCluster = (change?: Readonly<Record<string, unknown>>): Promise<Place> =>
  place({ '../state/clusters/lab/state.json': state(change) });

describe('clusters with containers', () => {
  test.each([['kind'], ['mixed']])('of provider %s are not saved, reset or copied', async (provider) => {
    const here = await withCluster({ provider });
    for (const words of [['snapshot', 'save'], ['reset'], ['fork']]) {
      const error = await here.refused(...words);
      expect(error).toMatchObject({ code: 'not-virtual-machines', exitCode: 2 });
      expect(error.message).toContain('cannot be saved as they run');
      expect(error.hint).toContain('--provider vm');
    }
  });

  test.each([
    { args: ['--instant', '--provider', 'kind'], flag: '--instant' },
    { args: ['--instant', '--control-plane-provider', 'kind'], flag: '--instant' },
    { args: ['--instant', '--dry-run'], flag: '--instant' },
    { args: ['--cold'], flag: '--cold' },
    { args: ['--fresh-identity'], flag: '--fresh-identity' },
    { args: ['--from-snapshot', 'x', '--nodes', '2'], flag: '--nodes' },
    { args: ['--from-snapshot', 'x', '--k8s', '1.36'], flag: '--k8s' },
    { args: ['--from-snapshot', 'x', '--instant'], flag: '--instant' },
    { args: ['--from-snapshot', 'x', '--control-planes', '3'], flag: '--control-planes' },
  ])('up $args', async ({ args, flag }) => {
    const here = await place();
    const error = await here.refused('up', '--offline', ...args);
    expect(error).toMatchObject({ code: 'bad-flag', exitCode: 2, facts: { flag } });
    expect(existsSync(join(here.state, 'clusters', 'kvci', 'state.json'))).toBe(false);
  });
});

describe('virtual machines', () => {
  test.each([
    [{ phase: 'creating' }, 'cluster-half-made'],
    [{ phase: 'stopped' }, 'cluster-stopped'],
    [{ phase: 'removing' }, 'cluster-removing'],
  ])('that are %j are not saved', async (change, code) => {
    const here = await withCluster({ provider: 'vm', ...change });
    expect(await here.refused('snapshot', 'save')).toMatchObject({ code, exitCode: 5 });
  });

  test('that were never saved cannot be reset', async () => {
    const here = await withCluster({ provider: 'vm' });
    const error = await here.refused('reset', 'lab');
    expect(error).toMatchObject({ code: 'never-saved', exitCode: 5 });
    expect(error.hint).toContain('kvci snapshot save lab');
  });

  test('get no copies under names that are taken', async () => {
    const here = await place({
      '../state/clusters/lab/state.json': state({ provider: 'vm' }),
      '../state/clusters/lab-2/state.json': state({ name: 'lab-2', provider: 'vm' }),
    });
    expect(await here.refused('fork', 'lab', '--count', '2')).toMatchObject({ code: 'cluster-exists', exitCode: 5 });
    for (const count of ['0', '-1', '1.5', 'two', '51']) {
      expect(await here.refused('fork', 'lab', `--count=${count}`)).toMatchObject({
        code: 'bad-flag',
        exitCode: 2,
        facts: { flag: '--count' },
      });
    }
  });
});

describe('snapshots', () => {
  test.each([['Ready'], ['../x'], ['a'.repeat(64)], ['']])('are not called %j', async (name) => {
    const here = await withCluster({ provider: 'vm' });
    expect(await here.refused('snapshot', 'save', `--name=${name}`)).toMatchObject({ code: 'bad-name', exitCode: 2 });
  });

  test('that are not there are told, with what there is', async () => {
    const here = await place({ '../state/snapshots/ready/snapshot.json': '{' });
    for (const words of [
      ['snapshot', 'inspect', 'redy'],
      ['snapshot', 'rm', 'redy'],
      ['snapshot', 'export', 'redy', 'file'],
      ['up', '--from-snapshot', 'redy'],
    ]) {
      const error = await here.refused(...words);
      expect(error).toMatchObject({ code: 'snapshot-not-found', exitCode: 5 });
      expect(error.hint).toBe('Did you mean ready?');
    }
    expect(await here.refused('snapshot', 'save', '--stop', '--keep-running')).toMatchObject({ code: 'bad-flag', exitCode: 2 });
  });

  test.each([
    ['{', 'snapshot-damaged'],
    ['{"layout":1,"name":"ready"}', 'snapshot-damaged'],
    ['{"layout":7}', 'snapshot-of-another-version'],
  ])('whose record is %s are refused, listed, and can be removed', async (text, code) => {
    const here = await place({ '../state/snapshots/ready/snapshot.json': text });
    expect(await here.refused('up', '--from-snapshot', 'ready')).toMatchObject({ code, exitCode: 1 });
    expect(await here.refused('snapshot', 'inspect', 'ready')).toMatchObject({ code });
    const listed = await here.run('snapshot', 'list', '--output', 'json');
    expect(JSON.parse(listed.stdout)).toMatchObject({ snapshots: [{ name: 'ready' }] });
    expect((await here.run('snapshot', 'rm', 'ready')).code).toBe(0);
    expect(JSON.parse((await here.run('snapshot', 'list', '--output', 'json')).stdout)).toEqual({ snapshots: [] });
  });

  test.each([
    ['nothing', ''],
    ['text', 'no snapshot at all\n'.repeat(100)],
    ['zeros', '\0'.repeat(4096)],
  ])('are not read from a file of %s', async (_what, content) => {
    const here = await place({ 'file.kvci': content });
    expect(await here.refused('snapshot', 'import', 'file.kvci')).toMatchObject({ code: 'not-a-snapshot', exitCode: 1 });
    expect(await here.refused('snapshot', 'import', 'missing.kvci')).toMatchObject({ code: 'file-not-found', exitCode: 5 });
  });
});

test('what a killed save left is removed by prune', async () => {
  const here = await place();
  const folder = join(here.state, 'elsewhere', 'half-12345678');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'memory'), 'x');
  const entry = join(here.state, 'ledger', 'x.json');
  await mkdir(dirname(entry), { recursive: true });
  const namespace = await pidNamespace();
  const owner = { pid: 2 ** 22 - 1, startTime: '1' };
  await writeFile(entry, JSON.stringify({ id: 'x', kind: 'snapshot', owner, namespace, resource: { folder, name: 'half' } }));
  const pruned = await here.run('prune', '--output', 'json');
  expect(pruned.code).toBe(0);
  expect(pruned.stdout).toContain('half a snapshot');
  expect(existsSync(folder)).toBe(false);
});
