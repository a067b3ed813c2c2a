import { describe, expect, it } from 'vitest';

import { chooseProvider, type KvmAnswer } from './choose-provider.ts';
import { clusterOptionsSchema } from './options.ts';
import { clusterProvider } from './spec.ts';

const KVM: KvmAnswer = { usable: true, reason: 'a kernel has started under it' };
const NO_KVM: KvmAnswer = { usable: false, reason: 'this host has no KVM' };

async function chosen(given: object, kvm: KvmAnswer, engineNamed = false) {
  let asked = 0;
  const options = clusterOptionsSchema.parse(given);
  const found = await chooseProvider(options, engineNamed, () => {
    asked += 1;
    return Promise.resolve(kvm);
  });
  expect(found.options.provider).not.toBe('auto');
  return { provider: clusterProvider(found.options), note: found.note, asked, options: found.options };
}

describe('auto is for', () => {
  it('virtual machines where KVM can be used, and says so', async () => {
    expect(await chosen({ nodes: 2 }, KVM)).toMatchObject({
      provider: 'vm',
      note: 'nodes are virtual machines: KVM can be used (a kernel has started under it)',
    });
  });

  it('containers elsewhere, and says why', async () => {
    expect(await chosen({ nodes: 2 }, NO_KVM)).toMatchObject({ provider: 'kind', note: 'nodes are containers: this host has no KVM' });
  });

  it('containers where an engine is named, without a trial', async () => {
    expect(await chosen({ nodes: 2 }, KVM, true)).toMatchObject({ provider: 'kind', note: undefined, asked: 0 });
  });

  it.each([
    [{ nodes: 155 }, 'a network of virtual machines has room for 154'],
    [{ cpus: 1.5 }, 'a virtual machine has whole processors'],
  ])('containers where machines cannot be %j, without a trial', async (given, why) => {
    expect(await chosen(given, KVM)).toMatchObject({ provider: 'kind', note: `nodes are containers: ${why}`, asked: 0 });
  });

  it.each([
    [{ diskSize: '40G' }, '--disk-size'],
    [{ cpuModel: 'host' }, '--cpu-model'],
    [{ qemuArgs: ['-device', 'nvme'] }, '--qemu-args'],
    [{ sandbox: 'container' }, '--sandbox'],
    [{ overrides: { node01: { vnc: true } } }, 'cluster.overrides.node01.vnc'],
  ])('virtual machines where only they can have %j', async (given, place) => {
    const note = `nodes are virtual machines, as ${place} is for them`;
    expect(await chosen(given, KVM)).toMatchObject({ provider: 'vm', note });
    // A single node, or one whose control plane is to have it.
    expect(await chosen(given, NO_KVM)).toMatchObject({ provider: 'vm', note });
  });

  it('both where workers are to be machines and there is no KVM: an emulated control plane takes minutes', async () => {
    const found = await chosen({ nodes: 3, diskSize: '40G' }, NO_KVM);
    expect(found).toMatchObject({ provider: 'mixed', options: { provider: 'vm', controlPlaneProvider: 'kind' } });
    expect(found.note).toBe(
      'workers are virtual machines, as --disk-size is for them; control planes are containers: this host has no KVM. Say --provider vm for machines only',
    );
  });

  it.each([{ sandbox: 'container' }, { controlPlaneProvider: 'vm', vnc: true }, { overrides: { node01: { diskSize: '40G' } } }])(
    'not for both where that cannot be: %j',
    async (given) => {
      expect(await chosen({ nodes: 2, ...given }, NO_KVM)).toMatchObject({ provider: 'vm' });
    },
  );

  it('what the kind of acceleration that is asked for needs, without a trial', async () => {
    expect(await chosen({ nodes: 2, acceleration: 'kvm' }, NO_KVM)).toMatchObject({ provider: 'vm', asked: 0 });
    expect(await chosen({ nodes: 2, acceleration: 'emulation' }, KVM)).toMatchObject({ provider: 'mixed', asked: 0 });
  });
});

it.each([
  [{ provider: 'vm' }, 'vm'],
  [{ provider: 'kind', nodes: 2 }, 'kind'],
  [{ provider: 'vm', controlPlaneProvider: 'kind', nodes: 2 }, 'mixed'],
  [{ nodes: 2, overrides: { node01: { provider: 'kind' }, node02: { provider: 'vm' } } }, 'mixed'],
])('nothing is chosen of %j', async (given, provider) => {
  expect(await chosen(given, KVM)).toMatchObject({ provider, note: undefined, asked: 0 });
});
