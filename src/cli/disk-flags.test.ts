import { describe, expect, it } from 'vitest';

import type { LoadedConfig } from '../config/load.ts';
import { wantedDisk } from './disk-flags.ts';

function loaded(config: LoadedConfig['config'] = {}): LoadedConfig {
  return { config, folder: '/project' } as LoadedConfig;
}

describe('the disk that is wanted', () => {
  it('has what the flags say over kvci.yaml; kernel arguments are added', () => {
    const config = loaded({ disk: { size: '20G', format: 'raw', kargs: ['quiet'] } });
    const { options } = wantedDisk(config, 'localhost/node:1', { format: 'qcow2', karg: ['debug'] }, '/');
    expect(options).toEqual({ format: 'qcow2', converter: 'auto', size: '20G', filesystem: 'ext4', kargs: ['quiet', 'debug'] });
  });

  it('is of a stored image, or of one that is built', () => {
    expect(wantedDisk(loaded(), 'localhost/node:1', {}, '/').image).toEqual({ kind: 'stored', ref: 'localhost/node:1' });
    expect(wantedDisk(loaded(), undefined, { k8s: '1.31' }, '/').image).toMatchObject({ kind: 'built', options: { k8s: '1.31' } });
    expect(wantedDisk(loaded({ image: { k8s: '1.36' } }), undefined, {}, '/').image).toMatchObject({ options: { k8s: '1.36' } });
    expect(wantedDisk(loaded({ image: { k8s: '1.36' } }), 'localhost/node:1', {}, '/').image).toMatchObject({ kind: 'stored' });
  });

  it('keys are files of the folder that kvci is run in', () => {
    expect(wantedDisk(loaded(), 'x', { sshKey: ['id.pub', '/abs/key.pub'] }, '/work').sshKeys).toEqual(['/work/id.pub', '/abs/key.pub']);
  });
});
