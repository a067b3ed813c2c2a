import { expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import type { RunContext } from '../../core/plan.ts';
import { systemClock } from '../../host/clock.ts';
import { downAll } from './down.ts';

const run: RunContext = { events: () => undefined, clock: systemClock, signal: new AbortController().signal };

/** Clusters by what removing them meets. */
const serviceOf = (clusters: Readonly<Record<string, KvciError | undefined>>): Parameters<typeof downAll>[0] => ({
  names: () => Promise.resolve(Object.keys(clusters)),
  down: (name = '') => {
    const error = clusters[name];
    return error === undefined ? Promise.resolve({ name, ms: 1 }) : Promise.reject(error);
  },
});

const gone = new KvciError('notFoundOrExists', 'cluster-not-found', 'there is no cluster "gone"');
const broken = new KvciError('failed', 'state-unreadable', 'cannot be read');

it('a cluster that somebody else removed meanwhile is gone', async () => {
  expect(await downAll(serviceOf({ gone, lab: undefined }), run)).toEqual([{ name: 'lab', ms: 1 }]);
});

it('one that cannot be removed keeps no other, and is the exit code', async () => {
  await expect(downAll(serviceOf({ gone, broken, lab: undefined }), run)).rejects.toMatchObject({
    code: 'not-all-removed',
    exitCode: 1,
    problems: [broken],
    facts: { removed: ['lab'] },
  });
});
