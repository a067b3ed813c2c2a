import { describe, expect, it } from 'vitest';

import { parseOsRelease } from './os-release.ts';
import { distributionOf, findDistribution, parseBase } from './registry.ts';

const CENTOS =
  'NAME="CentOS Stream"\nVERSION="10 (Coughlan)"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="10"\nPRETTY_NAME="CentOS Stream 10 (Coughlan)"\n';
const UBUNTU = 'PRETTY_NAME=\'Ubuntu 24.04 "Noble"\'\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n';

describe('parseOsRelease', () => {
  it.each([
    [CENTOS, { id: 'centos', like: ['rhel', 'fedora'], version: '10', title: 'CentOS Stream 10 (Coughlan)' }],
    [UBUNTU, { id: 'ubuntu', like: ['debian'], version: '24.04', title: 'Ubuntu 24.04 "Noble"' }],
    ['# rolling\n\nID=arch\nPRETTY_NAME="Arch \\$5 \\"Linux\\""', { id: 'arch', like: [], version: '', title: 'Arch $5 "Linux"' }],
    ['nothing here', { id: 'linux', like: [], version: '', title: 'linux' }],
  ])('%j', (text, expected) => {
    expect(parseOsRelease(text)).toEqual(expected);
  });
});

describe('distributionOf', () => {
  it.each([
    [CENTOS, 'centos-10', 'rpm', 'base/centos-stream-10'],
    [UBUNTU, 'ubuntu-24.04', 'debian', 'base/debian'],
    ['ID=rhel\nID_LIKE=fedora\nVERSION_ID=9.6', 'rhel-9.6', 'rpm', 'base/centos-stream-9'],
    ['ID=almalinux\nID_LIKE="rhel centos fedora"\nVERSION_ID=10.1', 'almalinux-10.1', 'rpm', 'base/centos-stream-10'],
    ['ID=fedora\nVERSION_ID=43', 'fedora-43', 'rpm', 'base/fedora'],
    ['ID=bazzite\nID_LIKE=fedora\nVERSION_ID=43', 'bazzite-43', 'rpm', 'base/fedora'],
  ])('%j', (text, id, family, template) => {
    const distribution = distributionOf(parseOsRelease(text), 'quay.io/own/base:1');
    expect(distribution).toMatchObject({ id, family, template, image: 'quay.io/own/base:1' });
  });

  it('refuses other families', () => {
    expect(() => distributionOf(parseOsRelease('ID=alpine\nVERSION_ID=3.22'), 'alpine:3.22')).toThrow(
      expect.objectContaining({ code: 'base-unsupported' }),
    );
  });
});

describe('parseBase', () => {
  it.each(['debian-13', 'centos-stream-9', 'centos-stream-10', 'fedora-43'])('knows %s', (id) => {
    expect(parseBase(id)).toEqual({ kind: 'known', distribution: expect.objectContaining({ id }) as unknown });
    expect(findDistribution(id)?.id).toBe(id);
  });

  it.each(['quay.io/fedora/fedora-bootc:43', 'my/base', 'base:latest', `base@sha256:${'0'.repeat(64)}`])(
    'takes %s for a reference',
    (ref) => {
      expect(parseBase(ref)).toEqual({ kind: 'image', ref });
    },
  );

  it.each([
    ['debian13', 'debian-13'],
    ['centos-stream9', 'centos-stream-9'],
  ])('suggests for %s', (text, suggestion) => {
    expect(() => parseBase(text)).toThrow(
      expect.objectContaining({ code: 'unknown-base', hint: expect.stringContaining(`Did you mean "${suggestion}"?`) as unknown }),
    );
  });
});
