import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import type { Event, EventSink } from '../core/events.ts';
import { readRuns, RunRecords } from './run-records.ts';

const NEVER = new AbortController().signal;
const HEAD = { command: 'image build', subject: '1.36 debian-13' };

let folder: string;
let now: number;
let sinks: Set<EventSink>;
let records: RunRecords;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-run-records-'));
  now = Date.UTC(2026, 10, 23, 7, 0, 0);
  sinks = new Set();
  records = new RunRecords({ state: folder }, { now: () => now, monotonic: () => now, wait: () => Promise.resolve() }, sinks);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const tell = (event: Event): void => {
  for (const sink of sinks) sink(event);
};

describe('during', () => {
  it('appends what happens with its time, secrets masked, and how it ended', async () => {
    const path = join(folder, 'deep', 'events.ndjson');
    const answer = await records.during(path, HEAD, NEVER, () => {
      now += 1000;
      tell({ type: 'step.output', step: 'init', line: 'kubeadm join --token abcdef.0123456789abcdef' });
      return Promise.resolve('answer');
    });
    tell({ type: 'problem', level: 'note', message: 'nobody keeps this' });
    await expect(records.during(path, HEAD, NEVER, () => Promise.reject(new KvciError('failed', 'x', 'it broke')))).rejects.toThrow(
      'it broke',
    );

    expect(answer).toBe('answer');
    const lines = (await readFile(path, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly type: string });
    expect(lines).toEqual([
      { at: now - 1000, type: 'run.start', ...HEAD },
      { at: now, type: 'step.output', step: 'init', line: 'kubeadm join --token ***' },
      { at: now, type: 'run.end', status: 'done' },
      { at: now, type: 'run.start', ...HEAD },
      { at: now, type: 'run.end', status: 'failed', message: 'it broke' },
    ]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await readRuns(path)).map(({ status }) => status)).toEqual(['done', 'failed']);
  });

  it('tells a cancelled run from a failed one', async () => {
    const path = join(folder, 'events.ndjson');
    const signal = AbortSignal.abort(new KvciError('interrupted', 'cancelled', 'cancelled by SIGINT'));
    await expect(records.during(path, HEAD, signal, () => Promise.reject(new Error('because')))).rejects.toThrow('because');
    expect(await readRuns(path)).toMatchObject([{ status: 'cancelled', message: 'cancelled by SIGINT' }]);
  });

  it('puts a large file aside', async () => {
    const path = join(folder, 'events.ndjson');
    await writeFile(path, '\n'.repeat(9 * 1024 * 1024));
    await records.during(path, HEAD, NEVER, () => Promise.resolve());
    expect((await stat(path)).size).toBeLessThan(1000);
    expect((await stat(`${path}.old`)).size).toBe(9 * 1024 * 1024);
  });
});

describe('runs without a place of their own', () => {
  it('are kept by time and name, but for those that are of no interest', async () => {
    await records.newRun(
      HEAD,
      NEVER,
      () => Promise.resolve(1),
      () => false,
    );
    now += 1000;
    await records.newRun(
      HEAD,
      NEVER,
      () => Promise.resolve(1),
      () => true,
    );
    expect(await records.names()).toEqual(['20261123T070000-image-build-1.36-debian-13']);
    expect(await records.read('20261123T070000-image-build-1.36-debian-13')).toMatchObject([{ ...HEAD, status: 'done' }]);
  });

  it('take over the events of a cluster that goes', async () => {
    const path = join(folder, 'clusters', 'lab', 'events.ndjson');
    await records.during(path, { command: 'up', subject: 'lab' }, NEVER, () => Promise.resolve());
    await records.keep(path, { command: 'up', subject: 'lab' });
    expect(await records.read('20261123T070000-up-lab')).toMatchObject([{ command: 'up', subject: 'lab' }]);
    // Nothing was recorded of it.
    now += 1000;
    await records.keep(path, { command: 'up', subject: 'lab' });
    expect(await records.names()).toEqual(['20261123T070000-up-lab']);
  });

  it('are bounded: the newest stay', async () => {
    for (let each = 0; each < 23; each += 1) {
      now += 1000;
      await records.newRun(
        HEAD,
        NEVER,
        () => Promise.resolve(),
        () => false,
      );
    }
    const names = await records.names();
    expect(names).toHaveLength(20);
    expect(names[0]).toContain('T070004');
    expect(names.at(-1)).toContain('T070023');
  });
});
