import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';

import { toolsContainerfile } from './tools-containerfile.ts';
import { packagesOf } from './tools-packages.ts';

describe('packagesOf', () => {
  test('reads the words of apt-get install over comments and continuations', () => {
    const containerfile = 'FROM x\nRUN apt-get update \\\n && apt-get install -y --no-x \\\n   # why\n   b a \\\n   c \\\n && rm -rf /x\n';
    expect(packagesOf(containerfile)).toEqual(['a', 'b', 'c']);
  });

  test('refuses a Containerfile that installs nothing', () => {
    expect(() => packagesOf('FROM x\nRUN apt-get update\n')).toThrow(expect.objectContaining({ code: 'no-packages' }));
  });
});

describe('tools.hbs', async () => {
  const source = await readFile(new URL('../../containerfiles/tools.hbs', import.meta.url), 'utf8');
  const sources = new Map([['tools', source]]);
  test.each([
    ['amd64', ['qemu-system-x86', 'ovmf'], ['qemu-system-arm', 'qemu-efi-aarch64']],
    ['arm64', ['qemu-system-arm', 'qemu-efi-aarch64'], ['qemu-system-x86', 'ovmf']],
  ])('has the machine of %s', (architecture, own, others) => {
    const packages = packagesOf(toolsContainerfile(sources, { architecture }));
    expect(packages).toEqual(expect.arrayContaining([...own, 'podman', 'mmdebstrap', 'debian-archive-keyring', 'dnsmasq-base', 'ostree']));
    for (const name of others) expect(packages).not.toContain(name);
    for (const name of packages) expect(name).toMatch(/^[a-z0-9][a-z0-9+.-]+$/);
  });

  test('is a Containerfile', () => {
    expect(toolsContainerfile(sources, { architecture: 'amd64' })).toMatch(/^FROM docker\.io\/library\/debian:trixie-slim\n/);
  });
});
