import { parse } from 'smol-toml';
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { sha256 } from '../../src/core/digest.ts';
import { shellLine } from '../../src/core/shell.ts';
import { BOOTC_IMAGE_BUILDER } from '../../src/disk/bootc-image-builder.ts';
import { renderConfig } from '../../src/disk/container/config.ts';
import type { Dialect, Flags } from '../../src/disk/container/types.ts';
import { IMAGE_BUILDER } from '../../src/disk/image-builder.ts';
import type { DiskRequest } from '../../src/disk/types.ts';
import { readTemplates } from '../../src/image/sources.ts';
import { golden } from '../fixtures/golden.ts';

const TEMPLATES = await readTemplates(new URL('../../templates', import.meta.url).pathname);
const GIB = 2 ** 30;

// Of the source only these are asked.
const PLAIN = {
  source: { architecture: 'amd64', image: { descriptor: { digest: sha256('node') } } },
  format: 'qcow2',
  size: 10 * GIB,
  filesystem: 'ext4',
  kargs: [],
  sshKeys: [],
} as unknown as DiskRequest;

const FULL: DiskRequest = {
  ...PLAIN,
  format: 'raw',
  size: 12 * GIB,
  filesystem: 'xfs',
  kargs: ['console=ttyS0', 'systemd.unit=rescue.target'],
  sshKeys: ['ssh-ed25519 AAAA1 one@"example"', 'ssh-ed25519 AAAA2 two'],
};

const DIALECTS = [BOOTC_IMAGE_BUILDER, IMAGE_BUILDER] as const;

function flagsOf(dialect: Dialect, more: Readonly<Record<string, string>> = {}): Flags {
  return new Map([...[dialect.mark, ...dialect.needs].map((flag) => [flag, 'string'] as const), ...Object.entries(more)]);
}

describe.each(DIALECTS.map((dialect) => [dialect.name, dialect] as const))('%s', (name, dialect) => {
  it.each([
    ['plain', PLAIN],
    ['full', FULL],
  ] as const)('its configuration, %s', async (which, request) => {
    const rendered = renderConfig(TEMPLATES, dialect, request);
    expect(() => parse(rendered)).not.toThrow();
    await golden(`converters/${name}-${which}.toml`, rendered);
  });

  it('says nothing in it that nobody asked for', () => {
    expect(Object.keys(parse(renderConfig(TEMPLATES, dialect, PLAIN)))).toEqual(name === 'image-builder' ? [] : ['customizations']);
  });

  it('its command lines', async () => {
    const image = 'localhost/kvci/convert:1';
    const optional = { '--seed': 'int', '--with-buildlog': '' };
    const lines = [
      { request: PLAIN, flags: flagsOf(dialect), owner: undefined },
      { request: PLAIN, flags: flagsOf(dialect, { '--image-size': 'uint' }), owner: undefined },
      { request: FULL, flags: flagsOf(dialect, optional), owner: { uid: 1000, gid: 100 } },
    ].map((call) => `${name} ${shellLine(dialect.arguments({ image, ...call }))}\n`);
    await golden(`converters/${name}.argv`, lines.join(''));
  });

  it('leaves its disk where contract D3 or its own arguments say', () => {
    const files = name === 'image-builder' ? ['disk.qcow2', 'disk.raw'] : ['qcow2/disk.qcow2', 'image/disk.raw'];
    expect([dialect.outputFile('qcow2'), dialect.outputFile('raw')]).toEqual(files);
  });
});

it('every template of a converter belongs to one', () => {
  const files = readdirSync(new URL('../../templates/converters', import.meta.url)).map((file) => `converters/${file.replace(/\.hbs$/, '')}`);
  expect(files.toSorted()).toEqual(DIALECTS.map(({ config }) => config.template).toSorted());
});
