import { describe, expect, it } from 'vitest';

import { parseEngineUrl } from './endpoint.ts';
import {
  addressMissing,
  buildError,
  engineLost,
  engineUnreachable,
  isConnectionLost,
  portTaken,
  pullFailed,
  refusalOf,
  requestFailed,
} from './errors.ts';

const OUTCOME = { failure: undefined, built: false, instruction: 'RUN make', lastLines: ['one', 'two'] };

describe('buildError', () => {
  it.each([
    [
      'a failure',
      { ...OUTCOME, failure: 'exit code 2' },
      'image-build-failed',
      'the image build failed at "RUN make": exit code 2\n  one\n  two',
    ],
    [
      'no instruction',
      { ...OUTCOME, failure: 'line 2: FOO', instruction: undefined, lastLines: [] },
      'image-build-failed',
      'the image build failed: line 2: FOO',
    ],
    [
      'a full disk told by the engine',
      { ...OUTCOME, failure: 'write /x: no space left on device', lastLines: [] },
      'disk-full',
      'the disk is full: the image build stopped at "RUN make": write /x: no space left on device',
    ],
    [
      'a full disk told by the command',
      {
        ...OUTCOME,
        failure: 'exit code 100',
        lastLines: ["E: You don't have enough free space in /var/cache/apt/archives/."],
      },
      'disk-full',
      'the disk is full: the image build stopped at "RUN make": exit code 100\n  E: You don\'t have enough free space in /var/cache/apt/archives/.',
    ],
    [
      'a stream that just ends',
      OUTCOME,
      'engine-lost',
      'the container engine (docker, DOCKER_HOST) ended or closed the connection during "RUN make"\n  one\n  two',
    ],
  ])('%s', (_name, outcome, code, message) => {
    expect(buildError(outcome, 'docker, DOCKER_HOST')).toMatchObject({ code, message, exitCode: code === 'disk-full' ? 3 : 1 });
  });

  it('is undefined for a build that succeeded', () => {
    expect(buildError({ ...OUTCOME, built: true }, 'docker')).toBeUndefined();
  });

  it('shortens the instruction for people and keeps it for scripts', () => {
    const instruction = `RUN ${'x'.repeat(500)}`;
    const error = buildError({ ...OUTCOME, failure: 'exit code 1', instruction, lastLines: [] }, 'docker');
    expect(error?.message).toBe(`the image build failed at "RUN ${'x'.repeat(156)}...": exit code 1`);
    expect(error?.facts['instruction']).toBe(instruction);
  });
});

describe('pullFailed', () => {
  it.each([
    ['manifest for x:1 not found: manifest unknown', 'image-not-found', 5],
    ["pull access denied for x, repository does not exist or may require 'docker login'", 'image-pull-failed', 1],
    ['unauthorized: authentication required', 'image-pull-failed', 1],
    ['dial tcp 127.0.0.1:1: connect: connection refused', 'image-pull-failed', 1],
    ['write /var/lib/x: no space left on device', 'disk-full', 3],
    ['tar: blobs/x: Wrote only 3072 of 10240 bytes', 'disk-full', 3],
  ])('%s', (reason, code, exitCode) => {
    expect(pullFailed('x:1', reason)).toMatchObject({ code, exitCode });
  });
});

it('tells a full disk in any request', () => {
  expect(requestFailed('import x', 'ApplyLayer: no space left on device').code).toBe('disk-full');
  expect(requestFailed('save x', 'no such image', 404)).toMatchObject({ code: 'engine-request-failed', facts: { status: 404 } });
});

it('hides credentials of an address', () => {
  expect(engineUnreachable('--engine', parseEngineUrl('tcp://u:pw@h:1', '--engine'), new Error('refused')).message).toBe(
    'no container engine answers at tcp://h:1 (--engine): refused',
  );
});

it.each([
  ['unix:///run/docker.sock', 'EACCES', "socket's group"],
  ['unix:///run/docker.sock', 'ECONNREFUSED', 'leave the setting out'],
  ['tcp://lab:2375', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'ca.pem signs'],
  ['ssh://core@lab/var/run/docker.sock', 'ECONNRESET', 'on that host'],
])('says what to do where nobody answers at %s: %s', (address, code, words) => {
  expect(engineUnreachable('--engine', parseEngineUrl(address, '--engine'), Object.assign(new Error(code), { code })).hint).toContain(
    words,
  );
});

it('knows a broken connection', () => {
  expect(isConnectionLost(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }))).toBe(true);
  expect(isConnectionLost(new Error('aborted'))).toBe(false);
});

it("takes the library's words off a refusal", () => {
  const error = Object.assign(new Error('(HTTP code 400) unexpected - dockerfile parse error line 2: unknown instruction - FOO '), {
    statusCode: 400,
  });
  expect(refusalOf(error)).toEqual({ status: 400, message: 'dockerfile parse error line 2: unknown instruction - FOO' });
  expect(refusalOf(new Error('x'))).toBeUndefined();
});

it.each([
  [
    'docker',
    'driver failed programming external connectivity on endpoint a: Error starting userland proxy: listen tcp4 127.0.0.1:24001: bind: address already in use',
    24001,
  ],
  ['docker 28', 'failed to bind host port for 127.0.0.1:24001:172.17.0.2:6443/tcp: address already in use', 24001],
  ['another container of docker', 'Bind for 127.0.0.1:24001 failed: port is already allocated', 24001],
  ['podman', 'cannot listen on the TCP port: listen tcp4 127.0.0.1:24001: bind: address already in use', 24001],
])('a port that is taken, in the words of %s', (_engine, reason, port) => {
  expect(portTaken(reason, undefined)).toMatchObject({
    code: 'port-taken',
    message: `port ${port} of this host's 127.0.0.1 is taken`,
    facts: { port, reason },
  });
});

it.each([
  ['docker', 'Bind for 192.0.2.7:24001 failed: port is already allocated'],
  ['podman, of IPv6', 'listen tcp6 [fd00::7]:24001: bind: address already in use'],
])('a port of another host that is taken, in the words of %s', (_engine, reason) => {
  expect(portTaken(reason, undefined, 'core@lab')).toMatchObject({ code: 'port-taken', message: 'port 24001 of core@lab is taken' });
});

it('an address that its host has not, as behind one that translates addresses, is told with what leads there', () => {
  const reason = 'Error starting userland proxy: listen tcp4 203.0.113.7:24001: bind: cannot assign requested address';
  expect(addressMissing(reason, undefined, '203.0.113.7')).toMatchObject({
    code: 'api-out-of-reach',
    exitCode: 3,
    hint: expect.stringContaining('ssh://') as string,
  });
  expect([addressMissing(reason, undefined), addressMissing('operation not permitted', undefined, 'lab')]).toEqual([undefined, undefined]);
});

it('a connection to another host that is lost is told with what to see to', () => {
  const cause = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  expect(engineLost('docker, DOCKER_HOST', undefined, cause, 'core@lab')).toMatchObject({
    code: 'engine-lost',
    exitCode: 1,
    hint: expect.stringContaining('See that core@lab is reached again') as string,
  });
});

it('other refusals are no port that is taken', () => {
  expect(portTaken('operation not permitted', undefined)).toBeUndefined();
  expect(portTaken('Address already in use', undefined)).toBeUndefined();
  expect(portTaken('IPAM error: requested ip address 10.89.1.11 is already allocated: address already in use', undefined)).toBeUndefined();
});
