import { describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import { debianBaseKey, debianBaseRequest, debianLayout } from './debian-base.ts';

const SET: DebianPackageSet = {
  suite: 'trixie',
  architecture: 'amd64',
  wanted: ['dracut'],
  packages: [
    { name: 'dracut', version: '106-6', architecture: 'all', sha256: sha256('dracut'), size: 1, archive: 'debian', filename: 'pool/d.deb' },
  ],
};

describe('debianBaseRequest', () => {
  const options = { architecture: 'amd64', kernel: undefined, packages: [], containerd: false } as const;

  it('wants the packages of a node, apt and the cloud kernel, each once and sorted', () => {
    const { suite, wanted } = debianBaseRequest(options);
    expect(suite).toBe('trixie');
    expect(wanted).toEqual([...new Set(wanted)].toSorted());
    expect(wanted).toEqual(expect.arrayContaining(['apt', 'dracut', 'linux-image-cloud-amd64', 'openssh-server', 'ostree-boot', 'runc']));
    expect(wanted).not.toContain('containerd');
  });

  it('takes another kernel, more packages and the containerd of Debian', () => {
    const { wanted } = debianBaseRequest({
      architecture: 'arm64',
      kernel: 'linux-image-arm64',
      packages: ['openvswitch-switch', 'runc'],
      containerd: true,
    });
    expect(wanted).toEqual(expect.arrayContaining(['containerd', 'linux-image-arm64', 'openvswitch-switch']));
    expect(wanted.filter((name) => name.startsWith('linux-image'))).toEqual(['linux-image-arm64']);
    expect(wanted.filter((name) => name === 'runc')).toHaveLength(1);
  });
});

describe('debianBaseKey', () => {
  const layout = debianLayout(
    new Map([
      ['debian/layout.sh', 'a'],
      ['common/etc/x', 'b'],
    ]),
  );

  it('is of the packages and the layout only', () => {
    expect([...layout]).toEqual([['layout.sh', 'a']]);
    const [only] = SET.packages;
    expect(debianBaseKey({ ...SET, wanted: [], packages: [{ ...only!, filename: 'elsewhere.deb' }] }, layout)).toBe(
      debianBaseKey(SET, layout),
    );
    expect(debianBaseKey(SET, new Map([['layout.sh', 'b']]))).not.toBe(debianBaseKey(SET, layout));
    expect(debianBaseKey({ ...SET, packages: [{ ...only!, sha256: sha256('other') }] }, layout)).not.toBe(debianBaseKey(SET, layout));
  });
});
