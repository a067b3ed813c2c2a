import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { state } from './cluster-state.ts';
import { place } from './place.ts';

test.each([
  { args: ['--provider', 'kind', '--disk-size', '40G'], code: 'bad-flag', message: '--disk-size: is for virtual machines: --provider vm' },
  { args: ['--provider', 'kind', '--sandbox', 'container'], code: 'bad-flag', message: '--sandbox: is for virtual machines' },
  { args: ['--provider', 'vm', '--sandbox', 'jail'], code: 'bad-flag', message: '--sandbox: ' },
  {
    args: ['--provider', 'vm', '--control-plane-provider', 'kind', '--nodes', '2', '--sandbox', 'container'],
    code: 'bad-flag',
    message: "--sandbox: containers beside virtual machines are in the sandbox of kvci's own engine",
  },
  { args: ['--provider', 'vm', '--disk-size', 'much'], code: 'bad-flag', message: '--disk-size: "much" is not a size' },
  { args: ['--provider', 'vm', '--karg', 'root=/dev/vda'], code: 'bad-flag', message: '--karg: "root=" is set by the disk itself' },
  { args: ['--provider', 'vm', '--cpu', '1.5'], code: 'bad-flag', message: '--cpus: a virtual machine has whole processors' },
  { args: ['--provider', 'vm', '--cpus', '1.5'], code: 'bad-flag', message: '--cpus: a virtual machine has whole processors' },
  {
    args: ['--provider', 'vm', '--memory', '1.8G'],
    code: 'bad-flag',
    message: '--memory: node01 (control-plane) needs at least 2.00 GB',
  },
  { args: ['--provider', 'vm', '--nodes', '155'], code: 'bad-flag', message: '--nodes: a network of virtual machines has room for 154' },
  { args: ['--provider', 'vm', '--acceleration', 'hvf'], code: 'bad-flag', message: '--acceleration: ' },
  {
    args: ['--provider', 'vm', '--control-plane-provider', 'docker'],
    code: 'bad-flag',
    message: '--control-plane-provider: ',
  },
  {
    args: ['--provider', 'vm', '--control-plane-provider', 'kind', '--nodes', '2', '--engine', 'docker'],
    code: 'engine-of-another',
    message: "--engine: containers beside virtual machines are in kvci's own engine",
  },
  {
    args: ['--provider', 'vm', '--engine', 'docker'],
    code: 'engine-of-another',
    message: '--engine: nodes that are virtual machines in namespaces are in no engine',
  },
  // Nothing is tried to find out that only machines can have that.
  {
    args: ['--nodes', '2', '--disk-size', '40G', '--engine', 'docker'],
    code: 'engine-of-another',
    message: '--engine: nodes that are virtual',
  },
  { args: ['--provider', 'vm', '--engine', 'docker', '--instant'], code: 'engine-of-another', message: '--engine: nodes that are virtual' },
  { args: ['--provider', 'vm', '--engine', 'docker', '--dry-run'], code: 'engine-of-another', message: '--engine: nodes that are virtual' },
  {
    args: ['--provider', 'vm', '--sandbox', 'container', '--engine', 'embedded'],
    code: 'engine-of-another',
    message: '--engine: a sandbox that is a container is in an engine of this host',
  },
])('up $args', async ({ args, code, message }) => {
  const here = await place();
  const error = await here.refused('up', '--offline', ...args);
  expect(error).toMatchObject({ code, exitCode: 2 });
  expect(error.message).toContain(message);
  expect(await readdir(here.path)).toEqual([]);
});

test('the plan tells of the disk that machines start from', async () => {
  const here = await place();
  const { stdout } = await here.run('up', '--provider', 'vm', '--image', 'localhost/none:x', '--dry-run', '--output', 'json');
  const { steps } = JSON.parse(stdout) as { readonly steps: readonly { readonly id: string; readonly reason: string }[] };
  expect(steps.slice(0, 2)).toMatchObject([{ id: 'image', reason: 'as a disk, unless it is made already' }, { id: 'network' }]);
});

test('the engine that a sandbox is to be a container of has to answer, before an image is built', async () => {
  const here = await place({ 'kvci.yaml': 'engine: /no/such.sock\n' });
  for (const [named, flags] of [
    ['/no/such.sock', []],
    ['/no/other.sock', ['--engine', '/no/other.sock']],
  ] as const) {
    const error = await here.refused('up', '--offline', '--provider', 'vm', '--sandbox', 'container', ...flags);
    expect(error).toMatchObject({ code: 'engine-unreachable', exitCode: 3 });
    expect(error.message).toContain(named);
  }
});

test.each([
  ['--memory', '9000G'],
  ['--control-plane-provider', 'kind', '--memory', '9000G'],
  ['--nodes', '150', '--memory', '200G'],
])('more memory than the host has, before an image is built: %s', async (...args) => {
  const here = await place();
  const error = await here.refused('up', '--offline', '--provider', 'vm', '--nodes', '2', ...args);
  expect(error).toMatchObject({ code: 'not-enough-memory', exitCode: 3 });
  expect(error.message).toMatch(/need about \S+ [GT]B of memory; this host has \S+ GB available$/);
});

test('nothing of what only machines have is asked of a cluster of containers that is there', async () => {
  const here = await place({ '../state/clusters/lab/state.json': state() });
  const more = ['--qemu-args', '-device  nvme', '--qemu-args', '-no-reboot'];
  const error = await here.refused('up', 'lab', '--provider', 'vm', '--sandbox', 'container', ...more);
  expect(error).toMatchObject({ code: 'cluster-differs', exitCode: 5 });
  expect(error.message).toContain('--sandbox: it has "namespaces", you ask for "container"');
  expect(error.message).toContain('--qemu-args: it has none, you ask for ["-device","nvme","-no-reboot"]');
  expect(error.message).toContain('--provider: it has kind, you ask for vm');
});
