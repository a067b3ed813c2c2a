import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

import { remoteCommand } from './remote-command.ts';

describe('the line of a remote command', () => {
  it.each([
    [{ argv: ['true'] as const, env: {} }, 'exec env true'],
    [{ argv: ['ls', '-l'] as const, env: {}, cwd: '/a b' }, "cd -- '/a b' && exec env ls -l"],
    [{ argv: ['sh', '-c', 'echo $A'] as const, env: { A: "it's", B: '' } }, "export A='it'\\''s' B='' && exec env sh -c 'echo $A'"],
  ])('%j', (request, line) => {
    expect(remoteCommand(request)).toBe(line);
  });

  it('runs a program whose name looks like a variable', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kvci-remote-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, '-a=b'), '#!/bin/sh\necho "$@"; exit 3\n', { mode: 0o755 });
    const line = remoteCommand({ argv: ['-a=b', 'c d', '$0'], env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` } });
    expect(spawnSync('sh', ['-c', line], { encoding: 'utf8' })).toMatchObject({ status: 3, stdout: 'c d $0\n' });
  });

  it.each(['$(id)', '`id`', '; id', "'", '"', 'a\nb', '*', '~', '\\', '', '-n', '&& false', 'ä', '!x'])('no shell sees %j', (word) => {
    const line = remoteCommand({ argv: ['printf', '%s|%s', word, 'end'], env: { WORD: word } });
    expect(execFileSync('sh', ['-c', line], { encoding: 'utf8' })).toBe(`${word}|end`);
  });

  it('refuses what no shell can set', () => {
    expect(() => remoteCommand({ argv: ['true'], env: { 'A=B;id': '' } })).toThrow(expect.objectContaining({ code: 'bad-variable' }));
  });
});
