import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { place } from './place.ts';

/* Machines that are asked for wrongly: refused before anything is started. */

describe('disk boot', () => {
  test.each([
    { args: ['--cpus', '0'], message: /^--cpus: "0" is no number of processors/ },
    { args: ['--memory', 'much'], message: /^--memory: "much" is not a size/ },
    { args: ['--disk-size', 'x'], message: /^--disk-size: "x" is not a size/ },
    { args: ['--name', 'A b'], message: /^--name: "A b" is not a valid name/ },
    { args: ['--firmware', 'coreboot'], message: /--firmware/ },
    { args: ['--acceleration', 'hvf'], message: /--acceleration/ },
    { args: ['--ip-family', 'ipx'], message: /--ip-family/ },
    { args: ['--sandbox', 'jail'], message: /--sandbox/ },
    { args: ['--timeout', 'soon'], message: /^--timeout: / },
    { args: ['--list'], message: /exclude each other/ },
    { args: ['--end', 'lab'], message: /exclude each other/ },
  ])('$args', async ({ args, message }) => {
    const here = await place();
    const error = await here.refused('disk', 'boot', 'node.qcow2', ...args);
    expect(error.exitCode).toBe(2);
    expect(error.message).toMatch(message);
  });

  test('a disk has to be named, and to be there', async () => {
    const here = await place();
    expect(await here.refused('disk', 'boot')).toMatchObject({ code: 'missing-disk', exitCode: 2 });
    expect(await here.refused('disk', 'boot', 'gone.qcow2', '--offline')).toMatchObject({ code: 'disk-not-found', exitCode: 5 });
    expect(await here.refused('disk', 'boot', 'localhost/gone:1', '--offline')).toMatchObject({ code: 'image-not-found', exitCode: 5 });
  });

  test('a record of another version is told, and the others are listed and pruned', async () => {
    const here = await place({ '../state/machines/broken.json': '{}' });
    const listed = await here.run('disk', 'boot', '--list');
    expect(listed).toMatchObject({ code: 0, stderr: expect.stringContaining('machines/broken.json') as string });
    const pruned = await here.run('prune');
    expect(pruned).toMatchObject({ code: 1, stdout: expect.stringContaining('machines/broken.json') as string });
    expect(await readdir(join(here.state, 'machines'))).toEqual(['broken.json']);
  });

  test('the engine that it is to be a container of has to answer', async () => {
    const here = await place({ 'kvci.yaml': 'engine: /no/such.sock\n', 'node.raw': 'looked at by nobody' });
    const error = await here.refused('disk', 'boot', 'node.raw', '--sandbox', 'container', '--offline');
    expect(error).toMatchObject({ code: 'engine-unreachable', exitCode: 3 });
    expect(error.message).toContain('/no/such.sock');
  });

  test('a machine that is not there is not ended, and not entered', async () => {
    const here = await place();
    expect(await here.refused('disk', 'boot', '--end', 'gone')).toMatchObject({ code: 'machine-not-found', exitCode: 5 });
    expect(await here.refused('disk', 'ssh', 'gone')).toMatchObject({ code: 'machine-not-found', exitCode: 5 });
  });
});
