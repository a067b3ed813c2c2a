import { describe, expect, it } from 'vitest';

import {
  kubernetesCandidates,
  kubernetesOfStaging,
  nearestVersions,
  newerPatch,
  stagingVersion,
  versionNotServed,
} from './served-versions.ts';

const LISTED = ['1.36.3', '1.37.2', '1.36.1', '1.31.0', '1.31.14', '1.37.0-rc.1', '1.38.0-alpha.1'];

describe('Kubernetes versions to try', () => {
  it.each([
    [{ kind: 'minor', minor: '1.36' } as const, ['1.36.3', '1.36.1']],
    [{ kind: 'minor', minor: '1.31' } as const, ['1.31.14', '1.31.0']],
    [{ kind: 'minor', minor: '1.37' } as const, ['1.37.2']],
    [{ kind: 'minor', minor: '1.38' } as const, ['1.38.0-alpha.1']],
    [{ kind: 'minor', minor: '1.39' } as const, []],
    [{ kind: 'exact', version: '1.36.2' } as const, ['1.36.2']],
    [{ kind: 'stable' } as const, ['1.37.2', '1.36.3', '1.36.1', '1.31.14', '1.31.0']],
  ])('%j', (request, expected) => {
    expect(kubernetesCandidates(request, LISTED)).toEqual(expected);
  });

  it('knows a newer patch by any sign, and counts no pre-release as one', () => {
    expect(newerPatch('1.36.3', ['1.36.3', kubernetesOfStaging('0.36.6'), '1.37.2'])).toBe('1.36.6');
    expect(newerPatch('1.36.3', ['1.36.3', '1.36.4-rc.1', '1.37.2'])).toBeUndefined();
  });

  it('names staging modules by the version of Kubernetes', () => {
    expect(stagingVersion('1.36.3')).toBe('v0.36.3');
    expect(stagingVersion('1.37.0-rc.1')).toBe('v0.37.0-rc.1');
  });
});

describe('the nearest version that is served', () => {
  it.each([
    ['itself first', '3.6.8', ['3.6.0', '3.6.8', '3.6.16'], ['3.6.8', '3.6.16', '3.6.0']],
    ['a newer patch before an older one that is as near', '3.5.15', ['3.5.14', '3.5.16'], ['3.5.16', '3.5.14']],
    ['patches by distance', '3.5.15', ['3.5.9', '3.5.16', '3.5.21', '3.5.12'], ['3.5.16', '3.5.12', '3.5.21', '3.5.9']],
    [
      'newer minors upwards, then older ones downwards',
      '1.11.1',
      ['1.9.0', '1.10.1', '1.14.4', '1.14.3', '1.15.0'],
      ['1.14.3', '1.14.4', '1.15.0', '1.10.1', '1.9.0'],
    ],
    ['no pre-release in place of a release', '3.7.0', ['3.7.0-rc.0', '3.7.1'], ['3.7.1']],
    ['nothing of nothing', '3.7.0', [], []],
  ])('%s', (_title, wanted, served, expected) => {
    expect(nearestVersions(wanted, served)).toEqual(expected);
  });
});

it('says which modules a version lacks and lists what there is', () => {
  const error = versionNotServed(
    { kind: 'exact', version: '1.31.14' },
    ['1.36.3', '1.31.14'],
    [{ version: '1.31.14', reason: 'k8s.io/cri-client is not served' }],
  );
  expect(error).toMatchObject({ code: 'version-not-served', exitCode: 5 });
  expect(error.message).toContain('k8s.io/cri-client is not served');
  expect(error.hint).toContain('1.36.3, 1.31.14');
});
