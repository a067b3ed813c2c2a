import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

import { scratchFolder } from '../../test/fixtures/layouts.ts';
import { parseCaFlags, parseMirrorFlags, parseRegistryHost } from './registry-options.ts';
import { readTrusted, registrySettings } from './registries.ts';

const run = promisify(execFile);

async function certificate(folder: string): Promise<{ readonly file: string; readonly pem: string; readonly key: string }> {
  const [file, key] = [join(folder, 'ca.pem'), join(folder, 'key.pem')];
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=test', '-keyout', key, '-out', file]);
  return { file, pem: await readFile(file, 'utf8'), key: await readFile(key, 'utf8') };
}

describe('certificates', () => {
  test('of all mirrors, or of one registry; a key beside them goes nowhere', async () => {
    const folder = scratchFolder();
    const { file, pem, key } = await certificate(folder);
    await writeFile(join(folder, 'both.pem'), `${key}\n# ours\n${pem}`);
    const mirrors = { 'docker.io': 'https://a.example', 'own.example:5000': 'https://b.example' };
    const trusted = await readTrusted({ cas: { '*': join(folder, 'both.pem'), 'own.example:5000': file, 'else.example': file } });
    expect(trusted).toEqual({ '*': pem, 'own.example:5000': pem, 'else.example': pem });
    expect(registrySettings({ registry: true, mirrors }, trusted)).toEqual([
      { host: 'registry:5000', plain: true },
      // Whoever signs for its mirror does not for the registry.
      { host: 'docker.io', mirror: { url: 'https://a.example', ca: pem } },
      { host: 'else.example', ca: pem },
      { host: 'own.example:5000', mirror: { url: 'https://b.example', ca: `${pem}${pem}` }, ca: pem },
    ]);
  });

  test.each([
    { what: 'is not there', file: 'none.pem', code: 'ca-missing', exitCode: 5 },
    { what: 'is a folder', file: '.', code: 'ca-unreadable', exitCode: 2 },
    { what: 'is empty', file: 'empty', code: 'ca-no-certificate', exitCode: 2 },
    { what: 'is a key', file: 'key', code: 'ca-no-certificate', exitCode: 2 },
    { what: 'was cut', file: 'cut', code: 'ca-no-certificate', exitCode: 2 },
  ])('a file that $what: $code', async ({ file, code, exitCode }) => {
    const folder = scratchFolder();
    await writeFile(join(folder, 'empty'), '');
    await writeFile(join(folder, 'key'), '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n');
    await writeFile(join(folder, 'cut'), '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n');
    await expect(readTrusted({ cas: { 'a.example': join(folder, file) } })).rejects.toMatchObject({ code, exitCode });
  });
});

describe('flags', () => {
  test('of mirrors', () => {
    expect(parseMirrorFlags(['docker.io=https://a.example/x=y'])).toEqual({ 'docker.io': 'https://a.example/x=y' });
    expect(() => parseMirrorFlags(['docker.io'])).toThrow('--mirror: "docker.io" is not of the form HOST=URL');
  });

  test.each([
    ['ca.pem', { '*': '/w/ca.pem' }],
    ['a.example:5000=ca.pem', { 'a.example:5000': '/w/ca.pem' }],
    ['/etc/a=b.pem', { '*': '/w//etc/a=b.pem' }],
  ])('of certificates: %s', (word, expected) => {
    expect(parseCaFlags([word], (path) => `/w/${path}`)).toEqual(expected);
  });

  test.each([
    { what: 'mirror', parse: () => parseMirrorFlags(['a.example=https://x', 'b.example=https://x', 'a.example=https://y']) },
    { what: 'file', parse: () => parseCaFlags(['a.example=ca.pem', 'a.example=other.pem'], String) },
  ])('that give a registry a second $what are refused', ({ parse }) => {
    expect(parse).toThrow('it is given twice for "a.example"');
    expect(() => parseCaFlags(['ca.pem', 'other.pem'], String)).toThrow('--ca: it is given twice for all mirrors');
  });

  test.each(['docker.io', 'registry:5000', 'localhost', '[::1]:5000'])('%s is a registry', (host) => {
    expect(parseRegistryHost(host)).toBe(host);
  });

  test.each(['', 'library', 'https://a.example', 'a.example/b', 'a b.example', '../x'])('%j is none', (host) => {
    expect(() => parseRegistryHost(host)).toThrow('is not a registry');
  });
});
