import { describe, expect, it } from 'vitest';

import { credentialFiles, findAuth, parseCredentialFile, parseHelperAnswer, serverAddress, type StoredAuth } from './credentials.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** What stands behind the secrets, for comparison. */
function shown(auth: StoredAuth | undefined): string {
  switch (auth?.kind) {
    case undefined:
      return 'none';
    case 'password':
      return `${auth.username}:${auth.password.reveal()}`;
    case 'identity-token':
      return `token ${auth.token.reveal()}`;
    case 'helper':
      return `${auth.program} ${auth.server}`;
  }
}

describe('credentialFiles', () => {
  it.each<readonly [string, Record<string, string>, string[]]>([
    ['defaults', {}, ['/home/u/.config/containers/auth.json', '/home/u/.docker/config.json']],
    [
      'XDG',
      { XDG_RUNTIME_DIR: '/run/user/1', XDG_CONFIG_HOME: '/c', DOCKER_CONFIG: '/d' },
      ['/run/user/1/containers/auth.json', '/c/containers/auth.json', '/d/config.json'],
    ],
    ['named', { REGISTRY_AUTH_FILE: '/a.json', XDG_RUNTIME_DIR: '/run/user/1' }, ['/a.json', '/home/u/.docker/config.json']],
  ])('%s', (_name, env, files) => {
    expect(credentialFiles(env, '/home/u')).toEqual(files);
  });
});

describe('finding', () => {
  const auths = parseCredentialFile(
    JSON.stringify({
      auths: {
        'https://index.docker.io/v1/': { auth: base64('hub:a:b') },
        'https://quay.io/v2/': { auth: base64('quay:q') },
        'quay.io/team': { username: 'team', password: 't' },
        'localhost:5000': { identitytoken: 'tok' },
        'stored.example.org': {},
      },
      credHelpers: { 'ghcr.io': 'gh' },
      credsStore: 'secretservice',
    }),
    'config.json',
  );

  it.each([
    ['busybox', 'hub:a:b'],
    ['library/busybox:1', 'hub:a:b'],
    ['docker.io/library/busybox', 'hub:a:b'],
    ['quay.io/other/image:1', 'quay:q'],
    ['quay.io/team/image:1', 'team:t'],
    ['quay.io/team/image@sha256:00', 'team:t'],
    ['quay.io/teammate/image', 'quay:q'],
    ['localhost:5000/a:1', 'token tok'],
    ['localhost/a:1', 'none'],
    ['ghcr.io/a/b', 'docker-credential-gh ghcr.io'],
    ['stored.example.org/a', 'docker-credential-secretservice stored.example.org'],
    ['registry.k8s.io/pause:3.10', 'none'],
  ])('%s', (ref, expected) => {
    expect(shown(findAuth(auths, ref))).toBe(expected);
  });
});

describe('bad files', () => {
  it.each([
    ['{', 'config.json is not JSON'],
    ['[]', 'config.json is not a JSON object'],
    [
      JSON.stringify({ auths: { 'a.io': { auth: base64('secret without colon') } } }),
      'config.json has an "auth" for a.io that is not base64 of USER:PASSWORD',
    ],
    [
      JSON.stringify({ credHelpers: { 'a.io': '../sh' } }),
      `config.json names the credential helper "../sh", which is not a program's name`,
    ],
  ])('%s', (text, message) => {
    expect(() => parseCredentialFile(text, 'config.json')).toThrow(message);
  });
});

it('reads what a helper answers', () => {
  expect(shown(parseHelperAnswer('{"ServerURL":"x","Username":"u","Secret":"s"}', 'docker-credential-x'))).toBe('u:s');
  expect(shown(parseHelperAnswer('{"Username":"<token>","Secret":"s"}', 'docker-credential-x'))).toBe('token s');
  expect(() => parseHelperAnswer('{}', 'docker-credential-x')).toThrow('docker-credential-x did not answer with a user and a secret');
});

it('calls Docker Hub as its daemon does', () => {
  expect(serverAddress('docker.io')).toBe('https://index.docker.io/v1/');
  expect(serverAddress('quay.io')).toBe('quay.io');
});
