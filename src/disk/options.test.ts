import { describe, expect, it } from 'vitest';

import { diskOptions, diskOptionsSchema, parsePublicKeys } from './options.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ5dGVzb2ZhcHVibGlja2V5dGhhdGlzbm9uZQ me@host';

describe('options of a disk', () => {
  it('has defaults', () => {
    expect(diskOptions(diskOptionsSchema.parse({}), [])).toEqual({
      format: 'qcow2',
      filesystem: 'ext4',
      kargs: [],
      sshKeys: [],
      size: 10_000_269_312,
    });
  });

  it('a size becomes whole MiB', () => {
    expect(diskOptions(diskOptionsSchema.parse({ size: '1' }), []).size).toBe(2 ** 20);
    expect(diskOptions(diskOptionsSchema.parse({ size: '20Gi' }), []).size).toBe(20 * 2 ** 30);
  });

  it.each([
    { format: 'vmdk' },
    { size: 'much' },
    { converter: 'osbuild' },
    { filesystem: 'btrfs' },
    { kargs: ['a b'] },
    { kargs: ['root=x'] },
  ])('%j is refused', (options) => {
    expect(diskOptionsSchema.safeParse(options).success).toBe(false);
  });
});

describe('a file of public keys', () => {
  it('is one key a line, but for comments', () => {
    expect(parsePublicKeys(`# mine\n\n${KEY}\n  ${KEY}  \n`, 'id.pub')).toEqual([KEY, KEY]);
  });

  it('that is the private key names the other', () => {
    expect(() => parsePublicKeys('-----BEGIN OPENSSH PRIVATE KEY-----\n', '/home/me/id')).toThrow(
      expect.objectContaining({ code: 'not-a-public-key', hint: 'It is a private key: give /home/me/id.pub.' }),
    );
  });

  it.each(['', 'hello\n', 'ssh-ed25519\n', `command="x" ${KEY}\n`])('%j is refused', (text) => {
    expect(() => parsePublicKeys(text, 'f')).toThrow(expect.objectContaining({ code: 'not-a-public-key', reason: 'usage' }));
  });
});
