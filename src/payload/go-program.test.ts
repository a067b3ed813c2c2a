import { describe, expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import type { CommandResult } from '../host/types.ts';
import { goVersionOf, hostGo, newestToolchain } from './go-program.ts';

const answered = (stdout: string): Promise<CommandResult> => Promise.resolve({ argv: [], exitCode: 0, stdout, stderr: '', ms: 1 });
const missing = (): Promise<CommandResult> => Promise.reject(new KvciError('hostNotReady', 'command-missing', 'go is not installed'));

describe("the host's Go", () => {
  it.each([
    ['go1.26.8\n', '1.26.8'],
    ['go1.27.1 X:nodwarf5\n', '1.27.1'],
    ['devel go1.28-abc\n', 'devel'],
  ])('%s', (output, version) => {
    expect(goVersionOf(output)).toBe(version);
  });

  it('is looked for where its own installation puts it, too', async () => {
    const found = await hostGo((program) => (program === 'go' ? missing() : answered('go1.26.8\n')));
    expect(found).toEqual({ path: '/usr/local/go/bin/go', version: '1.26.8' });
    await expect(hostGo(missing)).rejects.toMatchObject({ code: 'command-missing' });
  });
});

it('takes the newest release of an architecture from the toolchain module', () => {
  const versions = [
    'v0.0.1-go1.9.7.linux-amd64',
    'v0.0.1-go1.26.8.linux-amd64',
    'v0.0.1-go1.26.10.linux-amd64',
    'v0.0.1-go1.27rc1.linux-amd64',
    'v0.0.1-go1.27.0.linux-arm64',
    'v0.0.1-go1.27.0.windows-amd64',
  ];
  expect(newestToolchain(versions, 'amd64')).toBe('v0.0.1-go1.26.10.linux-amd64');
  expect(newestToolchain(versions, 'arm64')).toBe('v0.0.1-go1.27.0.linux-arm64');
  expect(newestToolchain(versions, 'riscv64')).toBeUndefined();
});
