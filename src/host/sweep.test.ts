import { expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { sweepAll, sweepOf } from './sweep.ts';

it('what cannot be removed is told with its reason, and the rest goes', async () => {
  const broken = new KvciError('failed', 'engine-not-started', 'the service of Podman does not answer');
  const result = await sweepAll([
    sweepOf('nodes', () => Promise.reject(broken)),
    sweepOf('machines', () => Promise.resolve(['machine a'])),
    { what: 'folders', sweep: () => Promise.resolve({ removed: ['folder b'], failed: [new KvciError('failed', 'busy', 'c is in use')] }) },
  ]);
  expect(result.removed).toEqual(['machine a', 'folder b']);
  expect(result.failed.map(({ message }) => message)).toEqual([
    'cannot remove nodes: the service of Podman does not answer',
    'c is in use',
  ]);
  expect(result.failed[0]?.cause).toBe(broken);
});
