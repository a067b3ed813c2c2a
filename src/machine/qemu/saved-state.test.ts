import { describe, expect, it } from 'vitest';

import { loading, parseMemoryPlace } from './saved-state.ts';

/** What QEMU 10.0 says, with its line ends. */
const blocks = (name: string): string =>
  [
    '              Block Name    PSize              Offset               Used              Total                HVA  RO',
    '    /rom@etc/acpi/tables    4 KiB  0x0000000020080000 0x0000000000020000 0x0000000000200000 0x00007f733f000000  ro',
    `${name.padStart(24)}    4 KiB  0x0000000000000000 0x0000000020000000 0x0000000020000000 0x00007f7317e00000  rw`,
    '                 pc.bios    4 KiB  0x0000000020000000 0x0000000000040000 0x0000000000040000 0x00007f733f600000  ro',
    '',
  ].join('\r\n');

describe('where QEMU has the memory of a machine', () => {
  it.each([
    ['pc.ram', false],
    ['mach-virt.ram', false],
    ['saved', true],
    ['/objects/saved', true],
  ])('%s', (name, mapped) => {
    expect(parseMemoryPlace(blocks(name))).toEqual({ address: String(0x7f7317e00000), size: 512 * 2 ** 20, mapped });
  });

  it('is asked of a QEMU that tells', () => {
    expect(() => parseMemoryPlace('Block Name')).toThrow(expect.objectContaining({ code: 'qmp-refused' }));
  });
});

describe('a machine that reads its state', () => {
  it.each(['setup', 'active'])('is not done at "%s"', async (status) => {
    const load = loading('node01');
    load.onEvent({ event: 'MIGRATION', data: { status } });
    load.onEvent({ event: 'RESUME', data: {} });
    expect(await Promise.race([load.done.then(() => 'done'), Promise.resolve('waits')])).toBe('waits');
  });

  it('is done, or cannot', async () => {
    const good = loading('node01');
    good.onEvent({ event: 'MIGRATION', data: { status: 'completed' } });
    await expect(good.done).resolves.toBeUndefined();
    const bad = loading('node01');
    bad.onEvent({ event: 'MIGRATION', data: { status: 'failed' } });
    await expect(bad.done).rejects.toMatchObject({ code: 'snapshot-refused' });
  });
});
