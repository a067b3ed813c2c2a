import { expect, it } from 'vitest';

import { rootFilesystemOf } from './node-image.ts';

const root = (payload: string): string => `
mount_configuration: units
partition_table:
  type: gpt
  partitions:
    - size: "1 MiB"
      bootable: true
    - size: "501 MiB"
      payload_type: filesystem
      payload: { type: vfat, mountpoint: /boot/efi }
    - payload_type: filesystem
      payload: ${payload}
`;

it.each([
  ['the type at /', root('{ type: btrfs, mountpoint: / }'), 'btrfs'],
  ['none given', root('{ mountpoint: / }'), undefined],
  ['no root', root('{ type: ext4, mountpoint: /var }'), undefined],
  ['something else', 'partitions: 3', undefined],
  ['nothing', '', undefined],
])("an image's disk.yaml: %s", (_name, text, type) => {
  expect(rootFilesystemOf(text)).toBe(type);
});

it('one that is no YAML is refused by name', () => {
  expect(() => rootFilesystemOf('a: [')).toThrow(expect.objectContaining({ code: 'bad-disk-yaml' }) as Error);
});
