import { expect, it } from 'vitest';

import { jobBody } from './job-body.ts';
import type { JobRequest } from './jobs.ts';

const convert: JobRequest = {
  name: 'kvci-job-1',
  image: 'localhost/converter@sha256:0',
  command: ['--type', 'qcow2', 'localhost/node:1'],
  labels: { 'io.kvci.run': 'r' },
  privileged: true,
  security: ['label=type:unconfined_t'],
  binds: [
    { host: '/cache/a:b', inside: '/output', writable: true },
    { host: '/cache/config.toml', inside: '/config.toml', writable: false },
  ],
  network: 'engine',
};

it('a privileged job as its engine is asked for it', () => {
  expect(jobBody(convert)).toEqual({
    Image: 'localhost/converter@sha256:0',
    Cmd: ['--type', 'qcow2', 'localhost/node:1'],
    Labels: { 'io.kvci.run': 'r' },
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    HostConfig: {
      Privileged: true,
      SecurityOpt: ['label=type:unconfined_t'],
      Mounts: [
        { Type: 'bind', Source: '/cache/a:b', Target: '/output', ReadOnly: false },
        { Type: 'bind', Source: '/cache/config.toml', Target: '/config.toml', ReadOnly: true },
      ],
    },
  });
});

it('another program, and no network', () => {
  const body = jobBody({ ...convert, entrypoint: ['/bin/sh', '-c'], network: 'none' });
  expect(body).toMatchObject({ Entrypoint: ['/bin/sh', '-c'], HostConfig: { NetworkMode: 'none' } });
});
