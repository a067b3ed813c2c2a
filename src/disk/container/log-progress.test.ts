import { describe, expect, it } from 'vitest';

import { lastStage, logProgress, stagesOf } from './log-progress.ts';

const ID = '3'.repeat(64);

describe("osbuild's log", () => {
  it('counts stages as they begin, with a total once that is known', () => {
    let total: number | undefined;
    const read = logProgress(() => total);
    expect(read(`Pipeline image: ${ID}`)).toBeUndefined();
    expect(read(`org.osbuild.truncate: ${ID} {`)).toEqual({ done: 0, total: undefined, message: 'org.osbuild.truncate' });
    total = 3;
    expect(read('  "filename": "disk.raw"')).toBeUndefined();
    expect(read(`org.osbuild.sfdisk: ${ID} {`)).toEqual({ done: 1, total: 3, message: 'org.osbuild.sfdisk' });
    total = 4;
    expect(read(`org.osbuild.bootc.install-to-filesystem: ${ID} {}`)).toMatchObject({ done: 2, total: 3 });
  });

  it.each(['org.osbuild.sfdisk: not an id', 'starting org.osbuild.sfdisk', '⏱  Duration: 1s', ''])('"%s" is no stage', (line) => {
    expect(logProgress(() => 1)(line)).toBeUndefined();
  });

  it('its last stage is where it failed', () => {
    expect(lastStage(`org.osbuild.truncate: ${ID} {\n}\norg.osbuild.mkfs.ext4: ${ID} {\n}\nfailed`)).toBe('org.osbuild.mkfs.ext4');
    expect(lastStage('error: nothing began')).toBeUndefined();
  });
});

describe('stages of a manifest', () => {
  const stages = (count: number): object[] => Array.from({ length: count }, () => ({ type: 'org.osbuild.x' }));
  const manifest = JSON.stringify({
    version: '2',
    pipelines: [
      { name: 'build', stages: stages(2) },
      { name: 'image', build: 'name:build', stages: stages(5) },
      {
        name: 'qcow2',
        build: 'name:build',
        stages: [{ type: 'org.osbuild.qemu', inputs: { image: { references: { 'name:image': {} } } } }],
      },
      { name: 'vmdk', build: 'name:build', stages: stages(7) },
    ],
  });

  it('those of the export and of what it needs', () => {
    expect(stagesOf(manifest, 'qcow2')).toBe(8);
    expect(stagesOf(manifest, 'image')).toBe(7);
  });

  it.each(['', '{"pipelines": [', '{"other": 1}', '[]'])('a manifest that is not whole has none: %s', (text) => {
    expect(stagesOf(text, 'qcow2')).toBeUndefined();
  });

  it('nor has one without the export', () => {
    expect(stagesOf(manifest, 'gce')).toBeUndefined();
  });
});
