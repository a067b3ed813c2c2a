import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { chooseCluster, requireCluster } from './find-cluster.ts';
import { clusterOptionsSchema } from './options.ts';
import { nodeSpecs } from './spec.ts';
import { type ClusterState, ClusterStates, parseState } from './state.ts';

let folder: string;
let states: ClusterStates;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-state-'));
  states = new ClusterStates({ state: folder });
});

afterEach(() => rm(folder, { recursive: true }));

function stateOf(name: string): ClusterState {
  const options = clusterOptionsSchema.parse({ name, nodes: 2, overrides: { node02: { memory: '2G', labels: { zone: 'b' } } } });
  return parseState(
    JSON.stringify({
      version: 1,
      name,
      run: 'r1',
      createdAt: '2026-11-23T00:00:00.000Z',
      phase: 'creating',
      options,
      wanted: 'Kubernetes 1.36',
      provider: 'kind',
      image: { digest: sha256('image'), name: 'localhost/node' },
      kubernetes: '1.36.3',
      families: ['ipv4'],
      nodes: nodeSpecs(options),
      steps: [],
    }),
    'test',
  );
}

describe('the state of clusters', () => {
  it('is found again as it was written, closed to others', async () => {
    const state = stateOf('lab');
    await states.save(state);
    expect(await states.find('lab')).toEqual(state);
    expect(state.nodes[1]).toEqual({ name: 'node02', index: 2, role: 'worker', memory: 2e9, labels: { zone: 'b' }, joined: false });
    expect((await stat(join(folder, 'clusters', 'lab', 'state.json'))).mode & 0o777).toBe(0o600);
    await states.remove('lab');
    expect(await states.find('lab')).toBeUndefined();
    expect(await states.names()).toEqual([]);
  });

  it.each([
    ['a socket, as earlier kvcis wrote it', '/run/docker.sock', { transport: 'unix', path: '/run/docker.sock' }],
    [
      'one of another host',
      { transport: 'ssh', destination: 'core@lab', port: 2222, socket: '/run/docker.sock' },
      { transport: 'ssh', destination: 'core@lab', port: 2222, socket: '/run/docker.sock' },
    ],
  ])('has the engine of its nodes: %s', async (_what, written, engine) => {
    const text = JSON.stringify({ ...stateOf('lab'), engine: written });
    await states.save(parseState(text, 'test'));
    expect((await states.find('lab'))?.engine).toEqual(engine);
  });

  it('of another version is refused in clear words', () => {
    expect(() => parseState('{"version":2}', 'state.json')).toThrow('state.json was written by another version of kvci (2)');
  });

  it.each([
    ['no JSON', '{'],
    ['something else', '{"version":1,"name":5}'],
  ])('%s is unreadable', async (_what, text) => {
    await states.save(stateOf('lab'));
    await writeFile(join(folder, 'clusters', 'lab', 'state.json'), text);
    await expect(states.find('lab')).rejects.toMatchObject({ code: 'state-unreadable' });
  });
});

it('a state file that may not be read is told as that, of its cluster only', async () => {
  await states.save(stateOf('lab'));
  await mkdir(join(folder, 'clusters', 'other', 'state.json'), { recursive: true });
  await expect(states.find('other')).rejects.toMatchObject({
    code: 'state-unreadable',
    exitCode: 1,
    message: expect.stringContaining('cannot be read: EISDIR') as string,
  });
  expect(await states.names()).toEqual(['lab', 'other']);
});

describe('which cluster is meant', () => {
  it('the only one, without a name', async () => {
    await expect(chooseCluster(undefined, states)).rejects.toMatchObject({ code: 'cluster-not-found' });
    await states.save(stateOf('lab'));
    expect((await chooseCluster(undefined, states)).name).toBe('lab');
    await states.save(stateOf('lap'));
    await expect(chooseCluster(undefined, states)).rejects.toMatchObject({
      code: 'cluster-ambiguous',
      hint: 'Say which one with --cluster NAME.',
    });
  });

  it('suggests the nearest name', async () => {
    await states.save(stateOf('staging'));
    await expect(requireCluster('stagin', states)).rejects.toMatchObject({ hint: 'Did you mean staging?' });
    await expect(requireCluster('x', states)).rejects.toMatchObject({ hint: 'There is staging.' });
  });
});
