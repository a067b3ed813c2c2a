import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import type { Event } from '../core/events.ts';
import { besideDisk, checkReportFile, writeReportFile } from './verification-file.ts';

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'kvci-report-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

it('is written over one of before, and beside the disk', async () => {
  const disk = join(await folder(), 'node.qcow2');
  const file = besideDisk(disk);
  expect(file).toBe(`${disk}.verification.json`);
  await writeFile(file, 'old');
  await checkReportFile(file, disk);
  const events: Event[] = [];
  expect(await writeReportFile(file, 'new', { events: (event) => void events.push(event) })).toBe(file);
  expect({ text: await readFile(file, 'utf8'), events }).toEqual({ text: 'new', events: [] });
});

it('cannot be the disk, a folder or a device', async () => {
  const here = await folder();
  const disk = join(here, 'node.qcow2');
  await writeFile(disk, 'disk');
  await mkdir(join(here, 'folder'));
  for (const file of [disk, join(here, 'folder'), '/dev/null'])
    await expect(checkReportFile(file, disk)).rejects.toMatchObject({ code: 'not-a-file', exitCode: 2 });
});

it('that can no longer be written is a warning: the result is there', async () => {
  const here = await folder();
  const file = join(here, 'gone', 'report.json');
  await mkdir(join(here, 'gone'));
  await checkReportFile(file);
  await rm(join(here, 'gone'), { recursive: true });
  const events: Event[] = [];
  expect(await writeReportFile(file, 'new', { events: (event) => void events.push(event) })).toBeUndefined();
  expect(events).toMatchObject([{ type: 'problem', level: 'warning', message: expect.stringContaining('ENOENT') as string }]);
});
