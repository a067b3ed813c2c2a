import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { layoutTools, writeImage } from '../fixtures/image-layout.ts';
import { MemoryTree } from '../fixtures/image-tree.ts';
import { createLayout } from '../../src/oci/layout.ts';
import { state } from './cluster-state.ts';
import { type Place, place } from './place.ts';

/*
 * Clusters that are asked for wrongly: refused before an image is built or an engine started. No cluster is made here.
 */

const SHA256 = '0'.repeat(64);

const withCluster = (change?: Readonly<Record<string, unknown>>): Promise<Place> =>
  place({ '../state/clusters/lab/state.json': state(change) });

describe('flags of up', () => {
  test.each([
    { args: ['--nodes', '0'], code: 'bad-flag', message: '--nodes: ' },
    { args: ['--nodes', 'two'], code: 'bad-flag', message: '--nodes: ' },
    { args: ['--nodes', '201'], code: 'bad-flag', message: '--nodes: ' },
    { args: ['--nodes', '1.5'], code: 'bad-flag', message: '--nodes: ' },
    {
      args: ['--control-planes', '4', '--nodes', '2'],
      code: 'bad-flag',
      message: '--control-planes: 4 control planes do not fit into 2 nodes',
    },
    { args: ['--control-planes', '0'], code: 'bad-flag', message: '--control-planes: ' },
    { args: ['--control-planes', '8', '--nodes', '8'], code: 'bad-flag', message: '--control-planes: ' },
    { args: ['--memory', '100M'], code: 'bad-flag', message: '--memory: node01 (control-plane) needs at least 1.70 GB' },
    { args: ['--memory', 'much'], code: 'bad-flag', message: '--memory: "much" is not a size' },
    { args: ['--cpus', '0'], code: 'bad-flag', message: '--cpus: ' },
    { args: ['--cni', 'x'], code: 'bad-flag', message: '--cni: "x" is no pod network' },
    { args: ['--cni', 'https://example.org/cni.yaml'], code: 'bad-flag', message: '--cni: a manifest by its address needs --sha256' },
    { args: ['--cni', 'https://example.org/cni.yaml', '--sha256', 'abc'], code: 'bad-flag', message: '--sha256: not a SHA-256' },
    { args: ['--sha256', SHA256], code: 'bad-flag', message: '--sha256: is for a --cni that is the address of a manifest' },
    { args: ['--provider', 'docker'], code: 'bad-flag', message: '--provider: ' },
    { args: ['--ip-family', 'ipv5'], code: 'bad-flag', message: '--ip-family: ' },
    { args: ['--k8s', '1.9'], code: 'bad-flag', message: '--k8s: Kubernetes 1.9 is older than 1.31' },
    { args: ['--timeout', '5'], code: 'bad-duration', message: '--timeout: "5" is not a duration' },
    { args: ['--engine', 'foo'], code: 'bad-engine-url', message: '"foo" is not an engine' },
    { args: ['Lab'], code: 'bad-flag', message: 'NAME: "Lab" is not a valid cluster name' },
    { args: ['a'.repeat(41)], code: 'bad-flag', message: 'has more than 40 letters' },
    { args: ['--node', '2'], code: 'unknown-flag', message: "unknown option '--node'" },
    { args: ['lab', 'more'], code: 'too-many-arguments', message: 'too many arguments' },
  ])('$args', async ({ args, code, message }) => {
    const here = await place();
    const error = await here.refused('up', '--offline', ...args);
    expect(error).toMatchObject({ code, exitCode: 2 });
    expect(error.message).toContain(message);
    expect(await readdir(here.path)).toEqual([]);
    expect(existsSync(join(here.state, 'clusters', 'kvci', 'state.json'))).toBe(false);
  });

  test('an unknown flag suggests the nearest', async () => {
    const { stderr } = await (await place()).run('up', '--contol-planes', '3');
    expect(stderr).toContain('hint: Did you mean --control-planes?');
  });

  test('an image and a version at once', async () => {
    expect(await (await place()).refused('up', '--image', 'localhost/none:x', '--k8s', '1.36')).toMatchObject({
      code: 'bad-flag',
      exitCode: 2,
      message: '--k8s: and --image exclude each other: an image has its version',
    });
  });

  test.skipIf(totalmem() > 64e9)('more nodes than there is memory for: said before anything starts', async () => {
    const here = await place();
    const error = await here.refused('up', '--control-planes', '7', '--nodes', '200', '--image', 'localhost/none:x');
    expect(error).toMatchObject({ code: 'not-enough-memory', exitCode: 3, hint: expect.stringContaining('--nodes') as string });
    expect(error.message).toMatch(/^7 control planes, 193 workers need about \S+ GB of memory; this host has \S+ GB available$/);
    expect(await readdir(join(here.state, 'clusters'))).toEqual(['kvci.lock']);
  });

  test('a node with more memory than there is: said before anything starts', async () => {
    const here = await place();
    const error = await here.refused('up', '--nodes', '2', '--memory', '9000G', '--image', 'localhost/none:x');
    expect(error).toMatchObject({ code: 'not-enough-memory', exitCode: 3, hint: expect.stringContaining('--memory') as string });
  });

  test.each([
    { what: 'is not there', files: {} },
    // What is no socket refuses as one does that nobody listens on.
    { what: 'refuses', files: { 'engine.sock': '' } },
  ])('an engine whose socket $what', async ({ files }) => {
    const here = await place(files);
    const socket = join(here.path, 'engine.sock');
    const error = await here.refused('up', '--engine', socket, '--image', 'localhost/none:x');
    expect(error).toMatchObject({ code: 'engine-unreachable', exitCode: 3 });
    expect(error.message).toContain(socket);
    expect(await readdir(join(here.state, 'clusters'))).toEqual(['kvci.lock']);
  });

  test('an image that is not there', async () => {
    expect(await (await place()).refused('up', '--image', 'localhost/none:x')).toMatchObject({ code: 'image-not-found', exitCode: 5 });
  });

  test('an image that is no node image', async () => {
    const here = await place();
    const layout = await createLayout(join(here.cache, 'images'), layoutTools);
    await writeImage(
      layout,
      new MemoryTree({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [] } }),
      'localhost/other:1',
    );
    const error = await here.refused('up', '--image', 'localhost/other:1');
    expect(error).toMatchObject({ code: 'not-a-node-image', exitCode: 2 });
    expect(await readdir(join(here.state, 'clusters'))).toEqual(['kvci.lock']);
  });

  test('overrides in kvci.yaml of a node that there is not', async () => {
    const here = await place({ 'kvci.yaml': 'cluster:\n  nodes: 2\n  overrides:\n    node03: { memory: 4G }\n' });
    expect((await here.refused('up', '--offline')).message).toBe('cluster.overrides: there is no node03 among 2 nodes');
  });
});

describe('a cluster of that name', () => {
  test('that differs: each difference is told', async () => {
    const error = await (await withCluster()).refused('up', 'lab', '--nodes', '3', '--ip-family', 'ipv4', '--image', 'other:1');
    expect(error).toMatchObject({ code: 'cluster-differs', exitCode: 5, hint: expect.stringContaining('kvci down lab') as string });
    expect(error.message.split('\n  ').slice(1)).toEqual([
      '--nodes: it has 2, you ask for 3',
      '--ip-family: it has "dual", you ask for "ipv4"',
      'image: it was made of node:1.36, you ask for other:1',
    ]);
  });

  test.each([
    { command: ['up', 'lab'] },
    { command: ['start', 'lab'] },
    { command: ['stop', 'lab'] },
    { command: ['node', 'add', '--cluster', 'lab'] },
    { command: ['node', 'remove', 'node02', '--cluster', 'lab'] },
  ])('that is being removed: $command', async ({ command }) => {
    const here = await withCluster({ phase: 'removing' });
    expect(await here.refused(...command)).toMatchObject({
      code: 'cluster-removing',
      exitCode: 5,
      hint: 'Finish that with "kvci down lab".',
    });
  });

  test.each([
    { phase: 'creating', code: 'cluster-half-made' },
    { phase: 'stopped', code: 'cluster-stopped' },
  ])('that is $phase has no nodes added or removed', async ({ phase, code }) => {
    const here = await withCluster({ phase });
    expect(await here.refused('node', 'add')).toMatchObject({ code, exitCode: 5 });
    expect(await here.refused('node', 'remove', 'node02')).toMatchObject({ code, exitCode: 5 });
  });

  test.each([
    { what: 'of another version', text: '{"version":2}', code: 'state-of-another-version' },
    { what: 'that is no JSON', text: '{', code: 'state-unreadable' },
    { what: 'with something else in it', text: state({ nodes: 3 }), code: 'state-unreadable' },
  ])('whose state file is one $what', async ({ text, code }) => {
    const here = await place({ '../state/clusters/lab/state.json': text });
    for (const command of [['up', 'lab'], ['status', 'lab'], ['stop'], ['start'], ['ports'], ['logs'], ['node', 'add']]) {
      const error = await here.refused(...command);
      expect(error).toMatchObject({ code, exitCode: 1 });
      expect(error.message).toContain(join(here.state, 'clusters', 'lab', 'state.json'));
    }
  });
});

describe('a cluster whose state cannot be read', () => {
  const beside = (): Promise<Place> =>
    place({ '../state/clusters/broken/state.json': '{', '../state/clusters/lab/state.json': state({ phase: 'stopped' }) });

  test('is listed as that, and hides no other', async () => {
    const here = await beside();
    const { code, stdout } = await here.run('list', '--output', 'json');
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 0,
      clusters: [
        { name: 'broken', condition: 'unreadable', problems: [expect.stringContaining('state.json is no JSON')] },
        { name: 'lab', condition: 'stopped' },
      ],
    });
    expect((await here.run('list')).stdout).toMatch(/^broken +unreadable$[^]*^lab +stopped [^]*state\.json is no JSON/m);
  });

  test('keeps "down --all" from no other', async () => {
    const here = await place({
      '../state/clusters/broken/state.json': '{',
      '../state/clusters/worse/state.json': '{"version":2}',
    });
    const { code, stdout } = await here.run('down', '--all', '--output', 'json');
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 1,
      error: {
        code: 'not-all-removed',
        message: '2 clusters could not be removed',
        problems: [{ code: 'state-unreadable' }, { code: 'state-of-another-version' }],
      },
    });
  });
});

describe('nodes of a cluster', () => {
  test.each([
    { args: ['add', '--count', '0'], code: 'bad-flag', exitCode: 2, message: '--count: "0" is not a number of nodes' },
    { args: ['add', '--count', 'x'], code: 'bad-flag', exitCode: 2, message: '--count: "x" is not a number of nodes' },
    { args: ['add', '--count', '199'], code: 'too-many-nodes', exitCode: 2, message: '2 and 199 nodes are more than 200' },
    { args: ['add', '--control-plane'], code: 'single-control-plane', exitCode: 2, message: 'was made with a single control plane' },
    { args: ['add', '--cluster', 'lba'], code: 'cluster-not-found', exitCode: 5, message: 'there is no cluster "lba"' },
    { args: ['remove', 'node01'], code: 'last-control-plane', exitCode: 2, message: 'node01 is the last control plane' },
    { args: ['remove', 'node03'], code: 'node-not-found', exitCode: 5, message: 'has no node "node03"' },
    { args: ['remove'], code: 'missing-argument', exitCode: 2, message: "missing required argument 'node'" },
  ])('$args', async ({ args, code, exitCode, message }) => {
    const error = await (await withCluster()).refused('node', ...args);
    expect(error).toMatchObject({ code, exitCode });
    expect(error.message).toContain(message);
  });
});

describe('commands on a cluster', () => {
  test.each([
    { args: ['stop'] },
    { args: ['start'] },
    { args: ['ports'] },
    { args: ['logs'] },
    { args: ['logs', '--bundle', 'logs.tar.gz'] },
    { args: ['node', 'add'] },
    { args: ['cp', 'a', 'node01:/a'] },
  ])('$args where there is none', async ({ args }) => {
    const here = await place();
    expect(await here.refused(...args)).toMatchObject({ code: 'cluster-not-found', exitCode: 5 });
    expect(await readdir(here.path)).toEqual([]);
  });

  test('of several one has to be named', async () => {
    const here = await place({ '../state/clusters/lab/state.json': state(), '../state/clusters/two/state.json': state({ name: 'two' }) });
    expect(await here.refused('stop')).toMatchObject({ code: 'cluster-ambiguous', exitCode: 2 });
  });

  test.each([
    { args: ['cp', 'a', 'b'], code: 'bad-path', message: 'one of the two is on a node' },
    { args: ['cp', 'node01:/a', 'node02:/b'], code: 'bad-path', message: 'one of the two is on a node' },
    { args: ['cp', '-', 'node01:etc'], code: 'bad-path', message: 'a path on a node is absolute' },
    { args: ['cp', 'node01:/a'], code: 'missing-argument', message: "missing required argument 'destination'" },
    { args: ['logs', 'node01', '--bundle', 'x.tar.gz'], code: 'bad-flag', message: '--bundle: is of all nodes; name none' },
    { args: ['ssh', 'node01', '-L', '8080'], code: 'bad-forward', message: '--forward: "8080" is not a forward' },
    { args: ['start', '--timeout', 'long'], code: 'bad-duration', message: '--timeout: "long" is not a duration' },
  ])('$args', async ({ args, code, message }) => {
    const error = await (await withCluster()).refused(...args);
    expect(error).toMatchObject({ code, exitCode: 2 });
    expect(error.message).toContain(message);
  });

  test.each([{ args: ['logs', 'node09'] }, { args: ['cp', 'a', 'node09:/a'] }])('$args: a node that there is not', async ({ args }) => {
    const error = await (await withCluster()).refused(...args);
    expect(error).toMatchObject({ code: 'node-not-found', exitCode: 5, hint: 'It has node01, node02.' });
  });

  test.each([
    { phase: 'stopped', code: 0, condition: 'stopped', of: 'stopped' },
    { phase: 'creating', code: 1, condition: 'half-made', of: 'unknown' },
  ])('status says of each node how it is: $phase', async ({ phase, code, condition, of }) => {
    const here = await withCluster({ phase });
    const status = await here.run('status', '--output', 'json');
    expect({ code: status.code, ...(JSON.parse(status.stdout) as object) }).toMatchObject({
      code,
      condition,
      nodes: ['node01', 'node02'].map((name) => ({ name, condition: of })),
    });
    expect((await here.run('status')).stdout).toMatch(new RegExp(`^node02 +worker +${of}$`, 'm'));
  });

  test('ports says what leads where', async () => {
    const here = await withCluster();
    expect(JSON.parse((await here.run('ports', '--output', 'json')).stdout)).toEqual({
      ports: [{ name: 'k8s', host: '127.0.0.1', port: 1, targets: [{ node: 'node01', address: '10.89.1.11', port: 6443 }] }],
    });
    expect((await here.run('ports')).stdout.split('\n')[1]).toBe('k8s   127.0.0.1:1  node01 (10.89.1.11:6443)');
  });
});

describe('timeline', () => {
  const EVENTS = [
    { at: 1000, type: 'run.start', command: 'up', subject: 'lab' },
    { at: 1000, type: 'step.start', step: 'network', title: 'network' },
    { at: 2000, type: 'step.end', step: 'network', status: 'done', ms: 1000 },
    { at: 2000, type: 'run.end', status: 'done' },
  ]
    .map((event) => `${JSON.stringify(event)}\n`)
    .join('');

  test('of a cluster, and of another run by the beginning of its name', async () => {
    const here = await place({
      '../state/clusters/lab/state.json': state(),
      '../state/clusters/lab/events.ndjson': EVENTS,
      '../state/runs/20261123T070000-image-build-1.36/events.ndjson': EVENTS.replace('"up"', '"image build"'),
    });
    expect((await here.run('timeline')).stdout).toMatch(/^kvci up: lab, .*, 1\.0 s, done\nnetwork {2}1\.0 s {2}=+\n$/);
    expect((await here.run('timeline', '20261123')).stdout).toMatch(/^kvci image build: /);
    const { stdout } = await here.run('timeline', 'lab', '--html', 'lab.html');
    expect(stdout).toBe(`${join(here.path, 'lab.html')}\n`);
    expect(await readdir(here.path)).toEqual(['lab.html']);
    expect(await here.refused('timeline', 'none')).toMatchObject({
      code: 'run-not-found',
      exitCode: 5,
      hint: 'The newest runs are 20261123T070000-image-build-1.36.',
    });
    expect(await here.refused('timeline', '--html', 'nowhere/lab.html')).toMatchObject({ code: 'bad-flag', exitCode: 2 });
  });

  test('of nothing', async () => {
    expect(await (await place()).refused('timeline')).toMatchObject({ code: 'run-not-found', message: 'nothing was recorded yet' });
    expect(await (await withCluster()).refused('timeline')).toMatchObject({ message: 'nothing was recorded of "lab"' });
  });
});
