import { describe, expect, it } from 'vitest';

import { imageOptionsSchema, parseExtraFile, parsePayloadOption } from './options.ts';

describe('parsePayloadOption', () => {
  it.each([
    ['auto', { kind: 'auto' }],
    ['modules', { kind: 'source', source: 'modules' }],
    ['release', { kind: 'source', source: 'release' }],
    ['dir:./out', { kind: 'source', source: 'dir', path: './out' }],
  ])('reads %s', (text, expected) => {
    expect(parsePayloadOption(text)).toEqual(expected);
  });

  it.each(['', 'dir', 'dir:', 'module', 'Auto'])('refuses "%s"', (text) => {
    expect(() => parsePayloadOption(text)).toThrow(expect.objectContaining({ code: 'bad-payload' }));
  });
});

describe('parseExtraFile', () => {
  it.each([
    ['motd:/etc/motd', { source: 'motd', destination: '/etc/motd' }],
    ['a:b/c:/usr/share/c', { source: 'a:b/c', destination: '/usr/share/c' }],
  ])('reads %s', (text, expected) => {
    expect(parseExtraFile(text)).toEqual(expected);
  });

  it.each(['motd', ':/etc/motd', 'motd:', 'motd:etc/motd', 'motd:/etc/', 'motd:/etc/../boot/x', 'motd:/var/lib/x', 'motd:/run/x'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseExtraFile(text)).toThrow(expect.objectContaining({ code: 'bad-file' }));
    },
  );
});

describe('imageOptionsSchema', () => {
  it('fills in defaults', () => {
    expect(imageOptionsSchema.parse({ k8s: '1.31' })).toEqual({
      k8s: '1.31',
      base: 'debian-13',
      payload: 'auto',
      tags: [],
      labels: {},
      packages: [],
      files: [],
    });
  });

  it.each([
    [{ k8s: '1.30' }, 'k8s'],
    [{ k8s: 'newest' }, 'k8s'],
    [{ k8s: '1.31', payload: 'moduls' }, 'payload'],
    [{ k8s: '1.31', arch: 'x86' }, 'arch'],
    [{ k8s: '1.31', packages: ['rm -rf'] }, 'packages'],
    [{ k8s: '1.31', files: ['x'] }, 'files'],
  ])('refuses %j', (options, key) => {
    const result = imageOptionsSchema.safeParse(options);
    expect(result.error?.issues[0]?.path[0]).toBe(key);
  });
});
