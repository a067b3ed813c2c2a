import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { REPOSITORY } from '../cli/run-kvci.ts';

/* The program that copies the memory of a machine, on that of a process of our own: what it is copied of is known to the byte. */

const COPY = join(REPOSITORY, 'templates/machine/copy-memory.pl');
const SIZE = 4 * 2 ** 20;

/** Holds some memory, says where its first whole page is, and changes a byte of it for each line that it reads. */
const HOLDER = `
use strict; use warnings; $| = 1;
my $memory = ("a" x 5000) . ("\\0" x 3000000) . ("b" x 70000) . ("\\0" x (${SIZE} + 4096 - 3075000));
my $at = unpack('Q', pack('p', $memory));
my $skip = -$at % 4096;
print $at + $skip, " $skip\\n";
while (my $where = <STDIN>) { substr($memory, $where + $skip, 1) = "x"; print "done\\n" }
`;

let folder: string;
let holder: ChildProcess;
let lines: AsyncIterator<string>;
let address: string;
let expected: Buffer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-copy-'));
  holder = spawn('perl', ['-e', HOLDER], { stdio: ['pipe', 'pipe', 'inherit'] });
  lines = createInterface({ input: holder.stdout ?? process.stdin })[Symbol.asyncIterator]();
  const said = String((await lines.next()).value).split(' ');
  address = said[0] ?? '';
  const whole = Buffer.concat([Buffer.alloc(5000, 'a'), Buffer.alloc(3_000_000), Buffer.alloc(70_000, 'b'), Buffer.alloc(SIZE)]);
  expected = Buffer.from(whole.subarray(Number(said[1]), Number(said[1]) + SIZE));
});

afterEach(async () => {
  holder.kill();
  await rm(folder, { recursive: true });
});

/** Answers what the program said after it was told to begin. */
async function copy(
  file: string,
  kind: 'whole' | 'changed',
  tell = 'go\n',
  meanwhile?: () => Promise<void>,
): Promise<{ readonly code: number; readonly said: string }> {
  const child = spawn('perl', [COPY, String(holder.pid), address, String(SIZE), file, kind], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line);
    if (line !== 'ready') continue;
    await meanwhile?.();
    child.stdin.end(tell);
  }
  const [code] = (await ended) as [number];
  return { code, said: said.join(' ') };
}

async function change(at: number): Promise<void> {
  holder.stdin?.write(`${at}\n`);
  await lines.next();
  expected.write('x', at);
}

describe('the memory of a process', () => {
  it('is copied to the byte, sparse', async () => {
    const file = join(folder, 'memory');
    const { code, said } = await copy(file, 'whole');
    expect([code, said]).toEqual([0, expect.stringMatching(/^ready \d+$/)]);
    expect((await readFile(file)).equals(expected)).toBe(true);
    const { size, blocks, mode } = await stat(file);
    expect([size, mode & 0o777]).toEqual([SIZE, 0o600]);
    expect(blocks * 512).toBeLessThan(SIZE / 2);
  });

  it('is copied ahead, and what has changed since is written when it is said', async () => {
    const file = join(folder, 'memory');
    const { said } = await copy(file, 'whole', 'go\n', async () => {
      expect((await readFile(file)).equals(expected)).toBe(true);
      for (const at of [0, 2_000_000, SIZE - 1]) await change(at);
    });
    expect((await readFile(file)).equals(expected)).toBe(true);
    // What was there already is not written again.
    expect(Number(said.split(' ')[1])).toBeLessThan(SIZE / 2);
  });

  it('is written over what was copied before', async () => {
    const [first, second] = [join(folder, 'first'), join(folder, 'second')];
    await copy(first, 'whole');
    for (const at of [0, 4095, 2_000_000, SIZE - 1]) await change(at);
    await copyFile(first, second);
    await copy(second, 'changed');
    expect((await readFile(second)).equals(expected)).toBe(true);
  });

  it('is left alone when nobody says so', async () => {
    const file = join(folder, 'memory');
    expect(await copy(file, 'changed', '')).toEqual({ code: 1, said: 'ready' });
    expect((await stat(file)).blocks).toBe(0);
    expect(await copy(file, 'whole', '')).toEqual({ code: 1, said: 'ready' });
  });
});
