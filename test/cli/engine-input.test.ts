import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { holdPort } from '../../src/host/free-port.ts';
import { isMissing } from '../fixtures/needs.ts';
import { sshProblem } from '../fixtures/ssh-server.ts';
import { place } from './place.ts';
import { kvci } from './run-kvci.ts';

/* Engines that are not reached: commands that only look are told so, and what they could not see they name. */

const SOCKET = '/no/such/docker.sock';

test('prune names an engine that it cannot ask what is left in it', async () => {
  const engines = [{ address: { transport: 'unix', path: SOCKET } }];
  const here = await place({ '../state/host-engines.json': JSON.stringify({ version: 1, owner: 'me', engines }) });
  const words = `the engine at unix://${SOCKET}, which nodes were in, was not asked whether some are left: there is no such socket`;
  expect(await here.run('prune')).toMatchObject({ code: 0, stdout: `${words}\n` });
  const { stdout } = await here.run('prune', '--output', 'json');
  expect(JSON.parse(stdout)).toEqual({ removed: [], failed: [], unseen: [words] });
});

/** Where nobody answers. */
async function gone(): Promise<string> {
  const held = await holdPort();
  await held[Symbol.asyncDispose]();
  return `ssh://core@127.0.0.1:${held.port}`;
}

describe.skipIf(isMissing('ssh', sshProblem()))('an engine of another host', () => {
  test('may have room for nodes that this one has not', async () => {
    const here = await place();
    const asked = ['--image', 'localhost/none:x', '--memory', '900T'];
    expect(await here.refused('up', 'lab', ...asked, '--engine', await gone())).toMatchObject({ code: 'engine-unreachable', exitCode: 3 });
  });

  test('is asked by doctor over ssh', async () => {
    const here = await place();
    const { stdout } = await kvci(['doctor', '--output', 'json'], {
      cwd: here.path,
      env: {
        KVCI_CACHE_DIR: here.cache,
        KVCI_STATE_DIR: here.state,
        KVCI_RUNTIME_DIR: join(here.state, 'run'),
        DOCKER_HOST: await gone(),
      },
    });
    const { checks } = JSON.parse(stdout) as { readonly checks: readonly { readonly id: string }[] };
    expect(checks.find(({ id }) => id === 'container-engine')).toMatchObject({
      status: 'error',
      message: expect.stringMatching(/is reached at ssh:\/\/core@127\.0\.0\.1:\d+\/\S+ \(DOCKER_HOST\):\n.*refused/) as string,
    });
  });
});
