import { expect, test } from 'vitest';

import { place } from './place.ts';

/* What is refused before anything is booted. */

test('a disk and an image that there are not', async () => {
  const here = await place();
  expect(await here.refused('image', 'verify', 'nowhere.qcow2')).toMatchObject({ code: 'disk-not-found', exitCode: 5 });
  for (const kind of ['machine', 'container']) {
    const refusal = await here.refused('image', 'verify', 'localhost/nowhere:1', '--as', kind);
    expect(refusal).toMatchObject({ code: 'image-not-found', exitCode: 5 });
  }
});

test('nothing to verify', async () => {
  const here = await place();
  expect(await here.refused('image', 'verify')).toMatchObject({ code: 'missing-image', exitCode: 2 });
});

test('a file of expectations that is none', async () => {
  const here = await place({ 'bad.yaml': 'sysctl: {}\n', 'typo.yaml': 'skip:\n  slow-dcp: not here\n' });
  const refused = (file: string) => here.refused('image', 'verify', 'x', '--facts', file);
  expect(await refused('nowhere.yaml')).toMatchObject({ code: 'facts-not-found', exitCode: 5 });
  expect(await refused('bad.yaml')).toMatchObject({ code: 'config-invalid', exitCode: 2 });
  expect(await refused('typo.yaml')).toMatchObject({ code: 'facts-invalid', exitCode: 2 });
});
