import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Event } from '../../core/events.ts';
import { systemClock } from '../clock.ts';
import { identify, isRunning } from '../processes.ts';
import type { CommandRunner } from '../types.ts';
import { hostCommands } from './execa-commands.ts';

let folder: string;
let events: Event[];
let host: CommandRunner;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-commands-'));
  events = [];
  host = hostCommands((event) => events.push(event), systemClock, { graceMs: 300 });
});

afterEach(() => rm(folder, { recursive: true }));

const sh = (script: string, ...args: string[]): [string, ...string[]] => ['sh', '-c', script, 'sh', ...args];

test('answers what the command printed, unchanged', async () => {
  const result = await host.run(sh('printf "a\\n\\n b"; printf "warn\\n" >&2'));
  expect(result).toMatchObject({ exitCode: 0, stdout: 'a\n\n b', stderr: 'warn\n' });
  expect(events).toEqual([{ type: 'command', argv: result.argv, where: 'host', ms: result.ms, exitCode: 0 }]);
});

test('no shell reads the arguments; the environment is added to, the folder set', async () => {
  process.env['KVCI_TEST_INHERITED'] = 'inherited';
  const argv = sh('pwd; echo "$1 $ADDED $KVCI_TEST_INHERITED"', '$(id); * "x"');
  const kept = await host.run(argv, { cwd: folder, env: { ADDED: 'added' } });
  expect(kept.stdout).toBe(`${folder}\n$(id); * "x" added inherited\n`);
  const removed = await host.run(argv, { cwd: folder, env: { KVCI_TEST_INHERITED: undefined } });
  expect(removed.stdout).toBe(`${folder}\n$(id); * "x"  \n`);
});

test('an exit code is an error that shows the command pasteable with its last lines', async () => {
  const error: unknown = await host.run(sh('seq 30; echo "it broke" >&2; exit 7')).catch((error: unknown) => error);
  expect(error).toMatchObject({ code: 'command-failed', facts: { exitCode: 7 }, result: { exitCode: 7, stderr: 'it broke\n' } });
  const { message } = error as Error;
  expect(message).toContain(`command failed with exit code 7 on host:\n  sh -c 'seq 30;`);
  expect(message).toMatch(/\n {2}12\n(.*\n)* {2}30\n {2}it broke$/);
  expect(message).not.toContain('\n  11\n');
});

test('an accepted exit code is an answer', async () => {
  expect((await host.run(sh('exit 3'), { accept: [3] })).exitCode).toBe(3);
  await expect(host.run(sh('exit 4'), { accept: [3] })).rejects.toMatchObject({ code: 'command-failed' });
});

test('an end by a signal is told by name', async () => {
  await expect(host.run(sh('kill -SEGV $$'))).rejects.toMatchObject({
    message: expect.stringContaining('exit code 139 (SIGSEGV)') as string,
    facts: { exitCode: 139 },
  });
});

test('a program that is not there, or is none, or in a folder that is not there', async () => {
  const program = join(folder, 'program');
  await writeFile(program, 'text');
  await expect(host.run(['kvci-no-such-program'])).rejects.toMatchObject({ code: 'command-missing', exitCode: 3 });
  await expect(host.run([program])).rejects.toMatchObject({ code: 'command-not-executable' });
  await expect(host.run(['true'], { cwd: join(folder, 'none') })).rejects.toMatchObject({ code: 'no-such-folder' });
  await chmod(program, 0o755);
  await writeFile(program, '#!/bin/sh\necho runs');
  expect((await host.run([program])).stdout).toBe('runs\n');
});

test('a host without setpriv runs commands too', async () => {
  const { PATH } = process.env;
  process.env['PATH'] = folder;
  try {
    expect((await host.run(['/bin/echo', 'x'])).stdout).toBe('x\n');
    await expect(host.run(['echo-not-here'])).rejects.toMatchObject({ code: 'command-missing' });
  } finally {
    process.env['PATH'] = PATH;
  }
});

test('standard input is nothing, text, bytes or a stream', async () => {
  expect((await host.run(['cat'])).stdout).toBe('');
  expect((await host.run(['cat'], { stdin: 'text' })).stdout).toBe('text');
  expect((await host.run(['wc', '-c'], { stdin: new Uint8Array(100_000) })).stdout.trim()).toBe('100000');
  expect((await host.run(['wc', '-c'], { stdin: Readable.from([Buffer.alloc(200_000), Buffer.alloc(5)]) })).stdout.trim()).toBe('200005');
});

test('a command may stop reading early', async () => {
  expect((await host.run(['head', '-c', '3'], { stdin: createReadStream('/dev/zero') })).stdout).toHaveLength(3);
});

test('a source of standard input that breaks is the error', async () => {
  const broken = new Readable({
    read() {
      this.destroy(new Error('the source broke'));
    },
  });
  await expect(host.run(['cat'], { stdin: broken })).rejects.toThrow('the source broke');
});

test('standard output to a sink is complete when the command is', async () => {
  const path = join(folder, 'out');
  const result = await host.run(['head', '-c', '5000000', '/dev/zero'], { stdout: createWriteStream(path) });
  expect([result.stdout, (await stat(path)).size]).toEqual(['', 5_000_000]);

  let slow = 0;
  const sink = new Writable({
    highWaterMark: 1000,
    write: (chunk: Buffer, _encoding, done) => {
      slow += chunk.length;
      setImmediate(done);
    },
  });
  await host.run(['head', '-c', '1000000', '/dev/zero'], { stdout: sink });
  expect([slow, sink.writableFinished]).toEqual([1_000_000, true]);
});

test('a sink that fails is the error, and the command ends', async () => {
  await expect(host.run(['yes'], { stdout: createWriteStream('/dev/full') })).rejects.toMatchObject({ code: 'ENOSPC' });
});

test('every line of both streams is handed on, also the last without a newline', async () => {
  const seen: string[] = [];
  const onLine = (line: string, stream: string): unknown => seen.push(`${stream}: ${line}`);
  const result = await host.run(sh('printf "a\\r\\n\\nb"; printf "c\\nd" >&2; exit 1'), { onLine, accept: [1] });
  expect(seen.filter((line) => line.startsWith('stdout'))).toEqual(['stdout: a', 'stdout: ', 'stdout: b']);
  expect(seen.filter((line) => line.startsWith('stderr'))).toEqual(['stderr: c', 'stderr: d']);
  expect([result.stdout, result.stderr]).toEqual(['a\r\n\nb', 'c\nd']);
});

test('a line and a letter may come in pieces', async () => {
  const text = Buffer.from('Grüße\nend');
  const stdin = new Readable({ read: () => undefined });
  stdin.push(text.subarray(0, 3));
  const seen: string[] = [];
  const onLine = (line: string, stream: string): void => {
    if (stream === 'stdout') seen.push(line);
    else for (const piece of [text.subarray(3), null]) stdin.push(piece);
  };
  await host.run(sh('head -c 3; echo next >&2; cat'), { stdin, onLine });
  expect(seen).toEqual(['Grüße', 'end']);
});

test('lines of standard error are handed on while standard output goes to a sink', async () => {
  const seen: string[] = [];
  const path = join(folder, 'out');
  const onLine = (line: string): unknown => seen.push(line);
  await host.run(sh('echo out; echo err >&2'), { onLine, stdout: createWriteStream(path) });
  expect([seen, await readFile(path, 'utf8')]).toEqual([['err'], 'out\n']);
});

test('large output comes whole; more than is kept is an error', async () => {
  let lines = 0;
  const { stdout } = await host.run(['seq', '1000000'], { onLine: () => (lines += 1) });
  expect([lines, stdout.length]).toEqual([1_000_000, 6_888_896]);
  const small = hostCommands(() => undefined, systemClock, { maxOutput: 1000 });
  await expect(small.run(['yes'])).rejects.toMatchObject({ code: 'output-too-large' });
});

/** Starts a grandchild that ignores SIGTERM; its pid is the first line. */
const STUBBORN = `sh -c 'trap "" TERM; echo $$; while :; do sleep 1; done' & wait`;

test('a command that hangs is ended at its deadline with everything it started', async () => {
  const pids: number[] = [];
  const run = host.run(sh(STUBBORN), { timeoutMs: 500, onLine: (line) => pids.push(Number(line)) });
  await expect(run).rejects.toMatchObject({ code: 'timed-out', exitCode: 4, message: expect.stringContaining('0.5 s') as string });
  await expect.poll(() => identify(pids[0]!)).toBeUndefined();
});

test('cancelling ends a command with everything it started', async () => {
  const controller = new AbortController();
  let grandchild: number | undefined;
  const onLine = (line: string): void => {
    grandchild = Number(line);
    controller.abort();
  };
  await expect(host.run(sh(STUBBORN), { signal: controller.signal, onLine })).rejects.toMatchObject({ code: 'cancelled' });
  await expect.poll(() => identify(grandchild!)).toBeUndefined();
  await expect(host.run(['true'], { signal: controller.signal })).rejects.toMatchObject({ code: 'cancelled' });
});

test('a command does not outlive a kvci that is killed', async () => {
  const program = `
    import { hostCommands } from ${JSON.stringify(join(import.meta.dirname, 'execa-commands.ts'))};
    import { systemClock } from ${JSON.stringify(join(import.meta.dirname, '../clock.ts'))};
    await hostCommands(() => undefined, systemClock).run(['sh', '-c', 'echo $$; exec sleep 1000'], { onLine: (line) => process.stdout.write(line) });`;
  const kvci = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [pid] = (await once(kvci.stdout, 'data')) as [Buffer];
  const command = await identify(Number(pid.toString()));
  expect(await isRunning(command!)).toBe(true);
  kvci.kill('SIGKILL');
  await expect.poll(() => isRunning(command!)).toBe(false);
});
