import { describe, expect, it } from 'vitest';

import { converterFailure, FAILURE_RULES } from './failures.ts';

const ID = 'a'.repeat(64);
const failed = (stderr: string, more: { exitCode?: number; outOfMemory?: boolean } = {}) =>
  converterFailure('bib@sha256:0', { exitCode: 1, outOfMemory: false, stdout: '', stderr, ...more });

/** Every stable substring of contract D2, in a line as the converters write it. */
it.each([
  [
    'error: cannot validate the setup: this command must be run in rootful (not rootless) podman',
    'converter-engine-rootless',
    'hostNotReady',
  ],
  ['error: cannot validate the setup: this command requires a privileged container', 'converter-not-privileged', 'hostNotReady'],
  ['error: cannot run binary in target arch: no canary', 'wrong-architecture', 'hostNotReady'],
  [
    'error: could not access container storage, did you forget -v /var/lib/containers/storage:/var/lib/containers/storage?',
    'converter-storage-missing',
    'hostNotReady',
  ],
  ['error: failed to inspect the image: exit status 125', 'converter-lacks-image', 'failed'],
  ['bootc-image-builder no longer pulls images, make sure to pull it before', 'converter-lacks-image', 'failed'],
  ['error: image localhost/node:1 is not a bootc image', 'not-a-bootc-image', 'failed'],
  ['error: unsupported root filesystem type: btrfs2', 'converter-filesystem', 'usage'],
  ['error: missing required info: DefaultRootFs', 'converter-no-default-filesystem', 'failed'],
  ['error: no default fs set: mount "/" requires a filesystem but none set', 'converter-no-default-filesystem', 'failed'],
  ['error: cannot mix ISO/disk images in request [qcow2 iso]', 'converter-image-type', 'failed'],
  ['error: unsupported image type "qcow3"', 'converter-image-type', 'failed'],
  ['error: chowning is not allowed in output directory', 'converter-chown', 'hostNotReady'],
  ['error: chown permission check failed for the output directory', 'converter-chown', 'hostNotReady'],
  ['cp: error writing: No space left on device\nerror: cannot run osbuild: exit status 1', 'disk-full', 'hostNotReady'],
  ['error: cannot run osbuild: write /output/disk.qcow2: no space left on device', 'disk-full', 'hostNotReady'],
  ['error: cannot run osbuild: running osbuild failed', 'converter-stage-failed', 'failed'],
  ['error: something new', 'converter-failed', 'failed'],
])('%s', (text, code, reason) => {
  expect(failed(text)).toMatchObject({ code, reason, message: expect.stringContaining(text.split('\n').at(-1) ?? '') as string });
});

it('each rule is met by a test above and has a hint', () => {
  for (const { says, code, hint } of FAILURE_RULES) {
    expect(hint).not.toBe('');
    for (const words of says) expect(failed(`error: ${words}`).code).toBe(code);
  }
});

describe('what words do not tell', () => {
  it.each([
    [{ exitCode: 137, outOfMemory: true }, 'converter-out-of-memory'],
    [{ exitCode: 137 }, 'converter-killed'],
    [{ exitCode: 127 }, 'converter-not-started'],
    [{ exitCode: 126 }, 'converter-not-started'],
    [{ exitCode: 125 }, 'converter-not-started'],
    [{ exitCode: 2 }, 'converter-failed'],
  ])('%o', (outcome, code) => {
    expect(failed('', outcome).code).toBe(code);
  });

  it('the stage that it failed in', () => {
    const error = failed(`org.osbuild.truncate: ${ID} {\norg.osbuild.mkfs.xfs: ${ID} {\nmkfs.xfs: not found\nerror: cannot run osbuild`);
    expect(error).toMatchObject({
      code: 'converter-stage-failed',
      message: expect.stringMatching(/^bib@sha256:0 failed, in its stage org\.osbuild\.mkfs\.xfs\n.*mkfs\.xfs: not found/s) as string,
      facts: { stage: 'org.osbuild.mkfs.xfs' },
    });
  });

  it('that it was killed goes before what it said', () => {
    expect(failed('No space left on device', { exitCode: 137 }).code).toBe('converter-killed');
  });
});
