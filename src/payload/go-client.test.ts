import { describe, expect, it } from 'vitest';

import { goEnvironment, meansNotServed, parseJsonStream, readGoMod, readModuleAnswer } from './go-client.ts';

const REF = { path: 'k8s.io/api', version: 'v0.36.3' };

describe('the environment of Go', () => {
  it('fixes what changes bytes and leaves proxies and checksums to the user', () => {
    const environment = goEnvironment({ toolchain: '1.26.8', architecture: 'arm64' }, false);
    expect(environment).toMatchObject({
      GOFLAGS: '-mod=readonly -trimpath -buildvcs=false',
      GOTOOLCHAIN: 'go1.26.8',
      GOOS: 'linux',
      GOARCH: 'arm64',
      CGO_ENABLED: '0',
      GOWORK: 'off',
    });
    expect(Object.keys(environment).filter((name) => /PROXY|SUMDB|PRIVATE|INSECURE/.test(name))).toEqual([]);
  });

  it('asks no proxy when offline', () => {
    expect(goEnvironment({}, true)).toMatchObject({ GOPROXY: 'off', GOTOOLCHAIN: 'local' });
  });
});

describe('answers of the go client', () => {
  it('are JSON objects one after the other', () => {
    expect(parseJsonStream('{\n\t"A": {\n\t\t"B": 1\n\t}\n}\n{\n\t"A": 2\n}\n')).toEqual([{ A: { B: 1 } }, { A: 2 }]);
    expect(parseJsonStream('')).toEqual([]);
  });

  it.each([
    ['k8s.io/x@v1: reading https://proxy/k8s.io/x/@v/v1.info: 403 Forbidden\n\tserver response: no', true],
    ['k8s.io/x@v1: reading https://proxy/k8s.io/x/@v/v1.info: 404 Not Found', true],
    ['k8s.io/x@v1: invalid version: unknown revision v1', true],
    ['k8s.io/x@v1: reading https://proxy/k8s.io/x/@v/v1.info: 502 Bad Gateway', false],
    ['k8s.io/x@v1: Get "https://proxy/k8s.io/x": dial tcp: lookup proxy: no such host', false],
    ['k8s.io/x@v1: module lookup disabled by GOPROXY=off', false],
  ])('%s', (message, expected) => {
    expect(meansNotServed(message)).toBe(expected);
  });

  it('tell a served module', () => {
    const data = {
      Path: REF.path,
      Version: REF.version,
      Time: '2026-07-22T18:07:38Z',
      GoMod: '/cache/v0.36.3.mod',
      GoVersion: '1.26.0',
      Origin: { Hash: 'abc' },
    };
    expect(readModuleAnswer(data, REF)).toEqual({
      ref: REF,
      served: true,
      goMod: '/cache/v0.36.3.mod',
      go: '1.26.0',
      time: '2026-07-22T18:07:38Z',
      commit: 'abc',
    });
  });

  it('tell a module whose info alone is served from one that can be used', () => {
    expect(readModuleAnswer({ Path: REF.path, Version: REF.version, Time: '2026-07-22T18:07:38Z' }, REF)).toMatchObject({ served: false });
  });

  it('tell a refusal from a proxy that fails and from --offline', () => {
    const answer = (Err: string) => readModuleAnswer({ Path: REF.path, Error: { Err } }, REF);
    expect(answer('k8s.io/api@v0.36.3: reading https://proxy/x: 403 Forbidden\n\tserver response: no')).toEqual({
      ref: REF,
      served: false,
      reason: 'k8s.io/api@v0.36.3: reading https://proxy/x: 403 Forbidden',
    });
    expect(() => answer('k8s.io/api@v0.36.3: module lookup disabled by GOPROXY=off')).toThrow(expect.objectContaining({ code: 'offline' }));
    expect(() => answer('k8s.io/api@v0.36.3: Get "https://proxy/x": dial tcp: timeout')).toThrow(
      expect.objectContaining({ code: 'go-proxy-failed' }),
    );
  });

  it('tell the folders that a go.mod puts in place of modules', () => {
    const text = JSON.stringify({
      Module: { Path: 'k8s.io/kubernetes' },
      Go: '1.26.0',
      GoDebug: [{ Key: 'default', Value: 'go1.26' }],
      Require: [{ Path: 'k8s.io/api', Version: 'v0.0.0' }],
      Replace: [
        { Old: { Path: 'k8s.io/api' }, New: { Path: './staging/src/k8s.io/api' } },
        { Old: { Path: 'a' }, New: { Path: 'b', Version: 'v1.0.0' } },
      ],
      Exclude: null,
    });
    expect(readGoMod(text)).toEqual({
      go: '1.26.0',
      godebug: [{ key: 'default', value: 'go1.26' }],
      require: [{ path: 'k8s.io/api', version: 'v0.0.0' }],
      local: ['k8s.io/api'],
    });
  });
});
