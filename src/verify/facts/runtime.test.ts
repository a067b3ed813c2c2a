import { describe, expect, it } from 'vitest';

import { criProblem, parseImages } from './runtime.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

/** As cri-api and `crictl images --output json` have them: a tag and its digest in two lists. */
const CRICTL_IMAGES = JSON.stringify({
  images: [
    { id: 'x', repoTags: ['registry.k8s.io/pause:3.10'], repoDigests: [`registry.k8s.io/pause@${DIGEST}`], size: '1' },
    { id: 'y', repoDigests: ['<none>@<none>'] },
  ],
});

describe('images of a container runtime', () => {
  it.each([
    ['ctr', `REF TYPE DIGEST SIZE PLATFORMS LABELS\nregistry.k8s.io/pause:3.10 application/x ${DIGEST} 1.0 MiB linux/amd64 -\n`],
    ['crictl', CRICTL_IMAGES],
  ])('as %s lists them', (_program, text) => {
    expect([...parseImages(text)!]).toEqual([['registry.k8s.io/pause:3.10', [DIGEST]]]);
  });

  it('none', () => {
    expect(parseImages('REF TYPE DIGEST SIZE PLATFORMS LABELS\n')?.size).toBe(0);
  });
});

const conditions = (...list: readonly (readonly [type: string, status: boolean])[]): string =>
  JSON.stringify({ status: { conditions: list.map(([type, status]) => ({ type, status, reason: '' })) }, config: {} });

describe('the CRI', () => {
  it.each([
    [
      'containerd 1',
      'TYPE ID PLATFORMS STATUS\nio.containerd.grpc.v1 cri linux/amd64 ok\nio.containerd.snapshotter.v1 zfs linux/amd64 skip\n',
    ],
    ['containerd 2', 'TYPE ID PLATFORMS STATUS\nio.containerd.cri.v1 images - ok\nio.containerd.cri.v1 runtime linux/amd64 ok\n'],
    ['CRI-O without a network yet', conditions(['RuntimeReady', true], ['NetworkReady', false])],
  ])('is served by %s', (_what, text) => {
    expect(criProblem({ text, exitCode: 0 })).toBeUndefined();
  });

  it.each([
    [
      'io.containerd.cri.v1 images - ok\nio.containerd.cri.v1 runtime linux/amd64 error\n',
      'io.containerd.cri.v1 runtime linux/amd64 error',
    ],
    ['io.containerd.snapshotter.v1 native linux/amd64 ok\n', 'containerd has no CRI plugin'],
    [conditions(['RuntimeReady', false]), 'the runtime is not ready'],
  ])('is not served: %s', (text, problem) => {
    expect(criProblem({ text, exitCode: 0 })).toBe(problem);
  });
});
