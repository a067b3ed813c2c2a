import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { REPOSITORY, temporaryFolder } from './run-kvci.ts';

/** kvci at work: it reads a configuration that is a pipe, and so waits until the pipe is closed. */
async function atWork(
  folder: string,
): Promise<{ readonly child: ChildProcess; readonly release: () => Promise<void>; readonly text: () => string }> {
  const pipe = join(folder, 'kvci.yaml');
  execFileSync('mkfifo', [pipe]);
  const child = spawn(join(REPOSITORY, 'kvci'), ['image', 'build', '--config', pipe], { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const writer = await open(pipe, 'w');
  return { child, release: () => writer.close(), text: () => text };
}

async function said(child: ChildProcess, text: () => string, words: string): Promise<void> {
  while (!text().includes(words)) await once(child.stderr ?? child, 'data');
}

describe.each([
  { signal: 'SIGINT', code: 130 },
  { signal: 'SIGTERM', code: 143 },
] as const)('$signal', ({ signal, code }) => {
  test(`ends the work in order, with exit code ${code}`, async () => {
    await using folder = await temporaryFolder();
    const { child, release, text } = await atWork(folder.path);
    child.kill(signal);
    await said(child, text, 'cancelling');
    await release();
    expect(await once(child, 'close')).toEqual([code, null]);
    expect(text()).toContain(`kvci: cancelled by ${signal}\n`);
  });

  test('a second one ends kvci at once', async () => {
    await using folder = await temporaryFolder();
    const { child, release, text } = await atWork(folder.path);
    child.kill(signal);
    await said(child, text, 'cancelling');
    child.kill(signal);
    expect(await once(child, 'close')).toEqual([null, signal]);
    await release();
  });
});
