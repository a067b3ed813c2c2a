import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { sweepAll, sweepOf } from './sweep.ts';

const NEVER = new AbortController().signal;

it('what cannot be removed is told with its reason, and the rest goes', async () => {
  const broken = new KvciError('failed', 'engine-not-started', 'the service of Podman does not answer');
  const result = await sweepAll(
    [
      sweepOf('nodes', () => Promise.reject(broken)),
      sweepOf('machines', () => Promise.resolve(['machine a'])),
      {
        what: 'folders',
        sweep: () => Promise.resolve({ removed: ['folder b'], failed: [new KvciError('failed', 'busy', 'c is in use')] }),
      },
    ],
    NEVER,
  );
  expect(result.removed).toEqual(['machine a', 'folder b']);
  expect(result.failed.map(({ message }) => message)).toEqual([
    'cannot remove nodes: the service of Podman does not answer',
    'c is in use',
  ]);
  expect(result.failed[0]?.cause).toBe(broken);
});

it('what the system refuses is told, too', async () => {
  const { failed } = await sweepAll([sweepOf('a folder', async () => [await readFile('/', 'utf8')])], NEVER);
  expect(failed.map(({ message }) => message)).toEqual([expect.stringMatching(/^cannot remove a folder: EISDIR/)]);
});

it.each([
  ['before it began', (cancel: () => void) => cancel, []],
  ['in the middle', () => undefined, ['first']],
])('a clean-up that is cancelled %s is that, and goes no further', async (_when, at, expected) => {
  const controller = new AbortController();
  const cancel = (): void => controller.abort();
  at(cancel)?.();
  const began: string[] = [];
  const sweeps = ['first', 'second'].map((what) =>
    sweepOf(what, () => {
      began.push(what);
      cancel();
      return Promise.reject(new KvciError('failed', 'engine-lost', 'the connection was closed'));
    }),
  );
  await expect(sweepAll(sweeps, controller.signal)).rejects.toMatchObject({ code: 'cancelled', exitCode: 130 });
  expect(began).toEqual(expected);
});

it('a bug of ours stays one', async () => {
  const bug = new TypeError('undefined is no function');
  await expect(sweepAll([sweepOf('nodes', () => Promise.reject(bug))], NEVER)).rejects.toBe(bug);
});
