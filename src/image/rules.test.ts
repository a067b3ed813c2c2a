import { describe, expect, it } from 'vitest';

import { nodeFacts } from './rules.ts';

describe('nodeFacts', () => {
  it.each([
    ['1.31.0', '2.2.0', { volumePluginDirectory: true, containerdConfig: 3, cniDirectories: true }],
    ['1.35.9', '2.0.4', { volumePluginDirectory: true, containerdConfig: 3, cniDirectories: false }],
    ['1.36.0-rc.1', '2.1.0', { volumePluginDirectory: false, containerdConfig: 3, cniDirectories: true }],
    ['1.36.3', '1.7.24', { volumePluginDirectory: false, containerdConfig: 2, cniDirectories: false }],
    ['1.37.0', undefined, { volumePluginDirectory: false, containerdConfig: 2, cniDirectories: false }],
  ])('Kubernetes %s with containerd %s', (kubernetes, containerd, facts) => {
    expect(nodeFacts({ kubernetes, containerd })).toEqual(facts);
  });

  it('refuses versions that do not work together', () => {
    expect(() => nodeFacts({ kubernetes: '1.37.0', containerd: '1.7.24' })).toThrow(
      expect.objectContaining({ code: 'versions-do-not-fit' }),
    );
  });
});
