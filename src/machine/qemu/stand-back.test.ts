import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { autogroupsProblem, niceOf } from '../../../test/fixtures/autogroups.ts';
import { isMissing } from '../../../test/fixtures/needs.ts';
import { standBack } from './stand-back.ts';

const skip = isMissing('autogroups', autogroupsProblem());

describe.skipIf(skip)('processes that stand back', () => {
  let sleeper: ChildProcess;

  beforeEach(() => {
    sleeper = spawn('sleep', ['infinity'], { detached: true });
  });

  afterEach(async () => {
    sleeper.kill('SIGKILL');
    await once(sleeper, 'exit');
  });

  const nice = (): Promise<string> => niceOf(sleeper.pid);

  it('do so until it is disposed', async () => {
    const held = await standBack([sleeper.pid ?? 0]);
    await expect.poll(nice, { timeout: 10_000 }).toBe('13');
    await held[Symbol.asyncDispose]();
    expect(await nice()).toBe('0');
  });

  it('do so no longer once whoever asked for it is killed', async () => {
    const module = new URL('stand-back.ts', import.meta.url).pathname;
    const script = `const { standBack } = await import(${JSON.stringify(module)}); await standBack([${sleeper.pid ?? 0}]); setInterval(() => {}, 1e6);`;
    const asker = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
    await expect.poll(nice, { timeout: 10_000 }).toBe('13');
    asker.kill('SIGKILL');
    await expect.poll(nice, { timeout: 10_000 }).toBe('0');
  });

  it('may have ended', async () => {
    const gone = spawn('true');
    await once(gone, 'exit');
    const held = await standBack([gone.pid ?? 0, sleeper.pid ?? 0]);
    await expect.poll(nice, { timeout: 10_000 }).toBe('13');
    await held[Symbol.asyncDispose]();
    expect(await nice()).toBe('0');
  });
});
