import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import type { KvciError } from '../../core/errors.ts';
import { engineCandidates, type EngineSurroundings, parseEngineChoice } from './discovery.ts';
import { showAddress } from './endpoint.ts';

interface Given {
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly uid?: number;
}

function host({ env = {}, files = {}, uid = 1000 }: Given): EngineSurroundings {
  return { env, home: '/home/u', uid, readText: (path) => files[path], exists: (path) => path in files };
}

/** `ORIGIN ADDRESS`, with `!` for a named one. */
function candidates(choice: string, given: Given): string[] {
  return engineCandidates(parseEngineChoice(choice), host(given)).map(
    ({ origin, address, named }) => `${named ? '!' : ''}${origin} ${showAddress(address)}`,
  );
}

const LAB = createHash('sha256').update('lab').digest('hex');
const META = `/home/u/.docker/contexts/meta/${LAB}/meta.json`;
const TLS = `/home/u/.docker/contexts/tls/${LAB}/docker`;
const LAB_CONTEXT = {
  '/home/u/.docker/config.json': '{"currentContext":"lab"}',
  [META]: '{"Name":"lab","Endpoints":{"docker":{"Host":"unix:///lab.sock","SkipTLSVerify":false}}}',
};

describe('candidates', () => {
  it.each<readonly [string, string, Given, string[]]>([
    ['nothing', 'auto', {}, []],
    ['DOCKER_HOST is named, there or not', 'auto', { env: { DOCKER_HOST: 'unix:///x.sock' } }, ['!DOCKER_HOST unix:///x.sock']],
    ['DOCKER_HOST without scheme', 'auto', { env: { DOCKER_HOST: 'h:2375' } }, ['!DOCKER_HOST tcp://h:2375']],
    ['empty variables', 'auto', { env: { DOCKER_HOST: '', CONTAINER_HOST: '', DOCKER_CONTEXT: '' } }, []],
    ['CONTAINER_HOST', 'auto', { env: { CONTAINER_HOST: 'unix:///p.sock' } }, ['!CONTAINER_HOST unix:///p.sock']],
    ['context', 'auto', { files: LAB_CONTEXT }, ['!docker context "lab" unix:///lab.sock']],
    ['DOCKER_CONTEXT wins', 'auto', { files: LAB_CONTEXT, env: { DOCKER_CONTEXT: 'default' } }, []],
    ['DOCKER_HOST overrides the context', 'auto', { files: LAB_CONTEXT, env: { DOCKER_HOST: '/x.sock' } }, ['!DOCKER_HOST unix:///x.sock']],
    ['default context', 'auto', { files: { '/home/u/.docker/config.json': '{"currentContext":"default"}' } }, []],
    ['no context in the configuration', 'auto', { files: { '/home/u/.docker/config.json': '{"auths":{}}' } }, []],
    [
      'all sockets, in order, /var/run only where /run has none',
      'auto',
      {
        env: { XDG_RUNTIME_DIR: '/run/user/1000' },
        files: {
          '/home/u/.docker/run/docker.sock': '',
          '/run/user/1000/podman/podman.sock': '',
          '/run/user/1000/docker.sock': '',
          '/run/podman/podman.sock': '',
          '/var/run/docker.sock': '',
          '/run/docker.sock': '',
        },
      },
      [
        'rootful Docker socket unix:///run/docker.sock',
        'rootful Podman socket unix:///run/podman/podman.sock',
        'rootless Docker socket unix:///run/user/1000/docker.sock',
        'rootless Podman socket unix:///run/user/1000/podman/podman.sock',
        'Docker Desktop socket unix:///home/u/.docker/run/docker.sock',
      ],
    ],
    ['only /var/run', 'auto', { files: { '/var/run/docker.sock': '' } }, ['rootful Docker socket unix:///var/run/docker.sock']],
    [
      'a rootless socket without XDG_RUNTIME_DIR',
      'auto',
      { uid: 1234, files: { '/run/user/1234/podman/podman.sock': '' } },
      ['rootless Podman socket unix:///run/user/1234/podman/podman.sock'],
    ],
    [
      'a variable that names a usual socket',
      'auto',
      { env: { DOCKER_HOST: 'unix:///run/docker.sock' }, files: { '/run/docker.sock': '' } },
      ['!DOCKER_HOST unix:///run/docker.sock'],
    ],
    [
      'a make',
      'podman',
      { env: { DOCKER_HOST: '/x.sock' }, files: { '/run/docker.sock': '' } },
      ['DOCKER_HOST unix:///x.sock', 'rootful Docker socket unix:///run/docker.sock'],
    ],
    ['an address only', '/e.sock', { env: { DOCKER_HOST: '/x.sock' }, files: { '/run/docker.sock': '' } }, ['!--engine unix:///e.sock']],
    ['embedded only', 'embedded', { env: { DOCKER_HOST: '/x.sock' } }, []],
  ])('%s', (_name, choice, given, expected) => {
    expect(candidates(choice, given)).toEqual(expected);
  });

  it('takes certificates from DOCKER_CERT_PATH', () => {
    const [candidate] = engineCandidates(
      { kind: 'auto' },
      host({ env: { DOCKER_HOST: 'tcp://[fd00::1]', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/certs' } }),
    );
    expect(candidate?.address).toEqual({
      transport: 'tcp',
      host: 'fd00::1',
      port: 2376,
      tls: { ca: '/certs/ca.pem', keyPair: { cert: '/certs/cert.pem', key: '/certs/key.pem' } },
    });
  });

  it.each([
    ['the key pair, too', { DOCKER_CERT_PATH: '/certs' }, '/certs'],
    ["those beside docker's configuration", {}, '/home/u/.docker'],
  ])('takes certificates for --engine from DOCKER_CERT_PATH: %s', (_what, env, folder) => {
    const files = { [`${folder}/ca.pem`]: '' };
    const [candidate] = engineCandidates(parseEngineChoice('tcp://lab:2376'), host({ env, files }));
    expect(candidate?.address).toEqual({
      transport: 'tcp',
      host: 'lab',
      port: 2376,
      tls: { ca: `${folder}/ca.pem`, keyPair: { cert: `${folder}/cert.pem`, key: `${folder}/key.pem` } },
    });
  });

  it('takes certificates from the context', () => {
    const files = { ...LAB_CONTEXT, [META]: '{"Endpoints":{"docker":{"Host":"tcp://lab:2376"}}}', [`${TLS}/ca.pem`]: '' };
    const [candidate] = engineCandidates({ kind: 'auto' }, host({ files }));
    expect(candidate?.address).toEqual({ transport: 'tcp', host: 'lab', port: 2376, tls: { ca: `${TLS}/ca.pem`, keyPair: undefined } });
  });
});

describe('refusals', () => {
  it.each<readonly [string, string, Given, string, RegExp]>([
    ['unknown word', 'dcker', {}, 'bad-engine-url', /^--engine: "dcker" is not an engine$/],
    ['unknown scheme', 'npipe:////./pipe/docker', {}, 'bad-engine-url', /--engine: "npipe.*is not the address/],
    ['a path in a URL', 'tcp://h:1/path', {}, 'bad-engine-url', /is not the address/],
    ['TLS without certificates', 'tcp://h:2376', {}, 'bad-engine-url', /asks for TLS/],
    ['https without certificates', 'https://h', {}, 'bad-engine-url', /asks for TLS/],
    ['ssh, its password hidden', 'ssh://u:pw@h', {}, 'bad-engine-url', /"ssh:\/\/\*\*\*@h" is not the address/],
    ['variable', 'auto', { env: { CONTAINER_HOST: 'ssh://core@h:port/run/podman.sock' } }, 'bad-engine-url', /^CONTAINER_HOST: /],
    ['a context that is gone', 'auto', { env: { DOCKER_CONTEXT: 'lab' } }, 'bad-docker-context', /docker context "lab" does not exist/],
    ['a broken configuration', 'auto', { files: { '/home/u/.docker/config.json': '{' } }, 'bad-docker-context', /config.json is not JSON/],
    [
      'a context without endpoint',
      'auto',
      { files: { ...LAB_CONTEXT, [META]: '{"Endpoints":{}}' } },
      'bad-docker-context',
      /names no docker endpoint/,
    ],
  ])('%s', (_name, choice, given, code, message) => {
    let thrown: unknown;
    try {
      candidates(choice, given);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect((thrown as KvciError).hint).toBeDefined();
  });
});
