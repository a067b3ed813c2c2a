import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair, PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { attachConsole } from './attach-console.ts';

const NEVER = new AbortController().signal;

async function logged(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-attach-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'console.log'), 'login: ');
  return join(folder, 'console.log');
}

it('what is piped is typed, up to the key that leaves', async () => {
  const [console, machine] = duplexPair();
  const stdin = new PassThrough();
  const attached = attachConsole(
    { log: await logged(), openConsole: () => Promise.resolve(console) },
    { stdin, stdout: new PassThrough() },
    NEVER,
  );
  stdin.end('root\n\x1dnot for it');
  expect(await attached).toBe('left');
  machine.end();
  expect(await text(machine)).toBe('root\n');
});

it('nothing is shown of a console that somebody else has', async () => {
  const stdout = new PassThrough();
  const openConsole = (): Promise<never> => Promise.reject(new KvciError('notFoundOrExists', 'console-in-use', 'somebody else has it'));
  await expect(attachConsole({ log: await logged(), openConsole }, { stdout }, NEVER)).rejects.toMatchObject({ code: 'console-in-use' });
  expect(stdout.readableLength).toBe(0);
});
