import { spawnSync } from 'node:child_process';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { hostCommands } from '../host/adapters/execa-commands.ts';
import { systemClock } from '../host/clock.ts';
import { requireForeignPrograms, smallestProgram } from './foreign-programs.ts';

const commands = hostCommands(() => undefined, systemClock);
const own = process.arch === 'arm64' ? 'arm64' : 'amd64';

test.each(['amd64', 'arm64'] as const)('the smallest program for %s is one that readelf understands', async (architecture) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-elf-'));
  const path = join(folder.path, 'program');
  await commands.run(['tee', path], { stdin: smallestProgram(architecture) });
  const { stdout } = await commands.run(['readelf', '--file-header', '--program-headers', path], { env: { LC_ALL: 'C' } });
  expect(stdout).toMatch(architecture === 'arm64' ? /Machine: +AArch64/ : /Machine: +Advanced Micro Devices X86-64/);
  expect(stdout).toMatch(/Entry point address: +0x400078/);
  expect(stdout).toMatch(/LOAD +0x0+ 0x0+400000 0x0+400000/);
  expect(stdout).toMatch(/R E +0x1000/);
});

test.each(['amd64', 'arm64'] as const)('whether programs for %s run is found out by running one', async (architecture) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-elf-'));
  const path = join(folder.path, 'program');
  await writeFile(path, smallestProgram(architecture), { mode: 0o755 });
  const runs = spawnSync(path).status === 42;
  if (architecture === own) expect(runs).toBe(true);
  const asked = requireForeignPrograms(architecture, own, { commands, temporary: folder.path, signal: new AbortController().signal });
  if (runs) await expect(asked).resolves.toBeUndefined();
  else await expect(asked).rejects.toMatchObject({ code: 'foreign-architecture', exitCode: 3 });
});
