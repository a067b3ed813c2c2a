import { expect, it } from 'vitest';

import { parseFlags } from './help.ts';

it('flags with and without a value, with and without a short form', () => {
  const help = [
    'Usage:',
    '  image-builder build <image-type>',
    '',
    'Flags:',
    '      --bootc-ref string       bootc container ref',
    '      --image-size uint        override the default image size in bytes',
    '      --type stringArray       image types to build [qcow2, --raw] (default [qcow2])',
    '      --with-manifest          export osbuild manifest',
    '      --bare',
    '',
    'Global Flags:',
    '  -v, --verbose                Switch to verbose mode',
  ].join('\n');
  expect([...parseFlags(help)]).toEqual([
    ['--bootc-ref', 'string'],
    ['--image-size', 'uint'],
    ['--type', 'stringArray'],
    ['--with-manifest', ''],
    ['--bare', ''],
    ['--verbose', ''],
  ]);
});

it('a program that helps otherwise has none', () => {
  expect(parseFlags('usage: cat [FILE]\n--number all lines').size).toBe(0);
});
