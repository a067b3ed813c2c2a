import { expect, it } from 'vitest';

import { misfit, refuseMisfit } from './fit-providers.ts';
import { clusterOptionsSchema } from './options.ts';

const options = (given: object) => clusterOptionsSchema.parse(given);

const MIXED = { provider: 'vm', controlPlaneProvider: 'kind', nodes: 3 };

it.each([
  [{ provider: 'kind', diskSize: '40G' }, '--disk-size: is for virtual machines: --provider vm'],
  [
    { provider: 'kind', overrides: { node01: { kargs: ['quiet'] } } },
    'cluster.overrides.node01.kargs: is for virtual machines: --provider vm',
  ],
  [{ provider: 'kind', acceleration: 'kvm' }, '--acceleration: is for virtual machines: --provider vm'],
  [{ provider: 'kind', sandbox: 'container' }, '--sandbox: is for virtual machines: --provider vm'],
  [{ provider: 'vm', nodes: 155 }, '--nodes: a network of virtual machines has room for 154'],
  [{ provider: 'vm', cpus: 1.5 }, '--cpus: a virtual machine has whole processors'],
  [
    { provider: 'vm', nodes: 3, overrides: { node03: { cpus: 0.5 } } },
    'cluster.overrides.node03.cpus: a virtual machine has whole processors',
  ],
  [{ provider: 'vm', cpus: 1 }, '--cpus: a control plane needs two processors, node01 has one'],
  [
    { provider: 'vm', overrides: { node01: { cpus: 1 } } },
    'cluster.overrides.node01.cpus: a control plane needs two processors, node01 has one',
  ],
  [
    { ...MIXED, overrides: { node01: { diskSize: '40G' } } },
    'cluster.overrides.node01.diskSize: is for virtual machines, and node01 is a container',
  ],
  [
    { ...MIXED, sandbox: 'container' },
    "--sandbox: containers beside virtual machines are in the sandbox of kvci's own engine, which is of namespaces",
  ],
])('%j is refused', (given, message) => {
  expect(() => {
    refuseMisfit(options(given));
  }).toThrow(expect.objectContaining({ code: 'bad-flag', exitCode: 2, message }) as Error);
});

it.each([
  [{ provider: 'kind', cpus: 1.5, nodes: 200 }],
  [{ provider: 'vm', cpus: 2, diskSize: '40G', sandbox: 'container', nodes: 154 }],
  [{ provider: 'vm', nodes: 2, overrides: { node02: { cpus: 1 } } }],
  [{ ...MIXED, diskSize: '40G', overrides: { node01: { cpus: 1.5 }, node02: { diskSize: '50G' } } }],
])('%j fits', (given) => {
  expect(misfit(options(given))).toBeUndefined();
});
