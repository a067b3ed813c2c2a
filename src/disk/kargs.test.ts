import { describe, expect, it } from 'vitest';

import { parseKarg } from './kargs.ts';

describe('a kernel argument', () => {
  it.each(['quiet', 'console=ttyS0,115200n8', 'systemd.unit=rescue.target', 'ip=[fd00::1]::[fd00::2]:64:node:eth0:none', 'a-b_c+d'])(
    '%s passes as it is',
    (text) => {
      expect(parseKarg(text)).toBe(text);
    },
  );

  it.each(['', 'a b', 'a"b"', "a'b", 'a$b', 'a`b`', 'a\\b', 'a;b', 'a|b', 'a\nb', 'a\tb', 'ä', 'a{b}', '#', 'a&b'])(
    '%j is refused',
    (text) => {
      expect(() => parseKarg(text)).toThrow(expect.objectContaining({ code: 'bad-karg', reason: 'usage' }));
    },
  );

  it.each(['root=/dev/sda', 'ostree=/x', 'rootfstype=xfs'])('%s is the disk’s own', (text) => {
    expect(() => parseKarg(text)).toThrow(/is set by the disk itself/);
  });
});
