import { expect, it } from 'vitest';

import { qemuVersion } from './qemu-version.ts';

it.each([
  [
    'QEMU emulator version 10.0.3 (Debian 1:10.0.3+ds-0+deb13u1)\nCopyright (c) 2003-2025 Fabrice Bellard and the QEMU Project developers\n',
    '10.0.3 (Debian 1:10.0.3+ds-0+deb13u1)',
  ],
  ['QEMU emulator version 9.2.0\n', '9.2.0'],
  ['another program 1\n', 'another program 1'],
  ['', ''],
])('%j', (text, version) => {
  expect(qemuVersion(text)).toBe(version);
});
