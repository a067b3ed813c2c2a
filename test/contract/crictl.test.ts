import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { run } from '../cli/run-kvci.ts';
import { scratchFolder } from '../fixtures/layouts.ts';

/* The few words of crictl that upstream's kind asks of a node, over what containerd 2.4's ctr has said. */

const CRICTL = new URL('../../templates/node/crictl/usr/bin/crictl', import.meta.url).pathname;
const [PAUSE, GREETER] = ['1', '2'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
const [PAUSE_ID, GREETER_ID] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
const LIST = `REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/library/greeter:1 application/vnd.oci.image.manifest.v1+json ${GREETER} 3.4 MiB linux/amd64 io.cri-containerd.image=managed
docker.io/library/greeter:again application/vnd.oci.image.manifest.v1+json ${GREETER} 3.4 MiB linux/amd64 -
docker.io/library/greeter@${GREETER} application/vnd.oci.image.manifest.v1+json ${GREETER} 3.4 MiB linux/amd64 -
localhost:5000/team/greeter:1 application/vnd.oci.image.manifest.v1+json ${PAUSE} 3.4 MiB linux/amd64 -
registry.k8s.io/pause:3.10 application/vnd.oci.image.manifest.v1+json ${PAUSE} 610.1 KiB linux/amd64 -
${PAUSE_ID} application/vnd.oci.image.manifest.v1+json ${PAUSE} 610.1 KiB linux/amd64 -
${GREETER_ID} application/vnd.oci.image.manifest.v1+json ${GREETER} 3.4 MiB linux/amd64 -
`;

async function crictl(...args: readonly string[]) {
  const folder = scratchFolder();
  await mkdir(join(folder, 'bin'));
  await writeFile(join(folder, 'list'), LIST);
  await writeFile(join(folder, 'bin', 'ctr'), `#!/bin/sh\n[ "$*" = "--namespace k8s.io images ls" ] && cat ${folder}/list\n`);
  await chmod(join(folder, 'bin', 'ctr'), 0o755);
  return run('sh', [CRICTL, ...args], { env: { PATH: `${folder}/bin:/usr/bin:/bin` } });
}

describe('crictl', () => {
  it.each(['greeter:1', 'docker.io/library/greeter:1', 'library/greeter:again', GREETER_ID, GREETER_ID.replace('sha256:', '')])(
    'inspects %s',
    async (word) => {
      const { code, stdout, stderr } = await crictl('inspecti', word);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual({
        status: {
          id: GREETER_ID,
          repoTags: ['docker.io/library/greeter:1', 'docker.io/library/greeter:again'],
          repoDigests: [`docker.io/library/greeter@${GREETER}`],
        },
      });
    },
  );

  it('takes a host with a port for one', async () => {
    const { stdout } = await crictl('inspecti', 'localhost:5000/team/greeter:1');
    expect(JSON.parse(stdout)).toMatchObject({ status: { id: PAUSE_ID } });
  });

  it.each([['greeter'], ['none:1'], [`sha256:${'c'.repeat(64)}`], ['']])('has no %j', async (word) => {
    expect(await crictl('inspecti', word)).toMatchObject({ code: 1, stdout: '', stderr: `crictl: no image "${word}"\n` });
  });

  it('lists images by name, tag and id', async () => {
    const { stdout } = await crictl('images');
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/));
    expect(rows).toEqual([
      ['IMAGE', 'TAG', 'IMAGE', 'ID', 'SIZE'],
      ['docker.io/library/greeter', '1', 'bbbbbbbbbbbbb', '3.4MiB'],
      ['docker.io/library/greeter', 'again', 'bbbbbbbbbbbbb', '3.4MiB'],
      ['localhost:5000/team/greeter', '1', 'aaaaaaaaaaaaa', '3.4MiB'],
      ['registry.k8s.io/pause', '3.10', 'aaaaaaaaaaaaa', '610.1KiB'],
    ]);
  });

  it.each([['ps'], ['']])('says what it is not: %j', async (word) => {
    expect(await crictl(word)).toMatchObject({ code: 1, stderr: expect.stringContaining('"images" and "inspecti IMAGE" only') as string });
  });
});
