import { parse } from 'smol-toml';

import { messageOf } from '../../../core/errors.ts';
import { initramfsNames, InitramfsError } from '../cpio.ts';
import type { Fact, Finding } from '../types.ts';
import { nameOf, type ImageView } from '../view.ts';

const MODULES = 'usr/lib/modules';

/** Releases that have a kernel: folders of /usr/lib/modules with a vmlinuz. */
export function kernels(image: ImageView): readonly string[] {
  return image
    .children(MODULES)
    .filter((path) => image.target(`${path}/vmlinuz`)?.type === 'file')
    .map(nameOf);
}

const one: Fact = {
  id: 'kernel',
  title: 'exactly one kernel, in /usr/lib/modules/RELEASE/vmlinuz',
  check(image) {
    const folders = image.children(MODULES).filter((path) => image.entry(path)?.type === 'directory');
    const found = kernels(image);
    if (found.length === 1 && folders.length === 1) return [];
    if (found.length === 0) return [{ message: 'there is no kernel', path: `/${MODULES}` }];
    if (found.length === 1) {
      const extra = folders.map(nameOf).filter((release) => !found.includes(release));
      return [{ message: `modules of a kernel that is not there: ${extra.join(', ')}`, path: `/${MODULES}` }];
    }
    return [{ message: `there are ${found.length} kernels: ${found.join(', ')}`, path: `/${MODULES}` }];
  },
};

/** kubeadm's preflight reads it: /boot/config-RELEASE does not exist on a bootc host. */
const config: Fact = {
  id: 'kernel-config',
  title: "the kernel's config lies beside it, where kubeadm looks for it",
  check: (image) =>
    kernels(image)
      .map((release) => `${MODULES}/${release}/config`)
      .filter((path) => (image.target(path)?.size ?? 0) === 0)
      .map((path) => ({ message: 'the kernel config is missing or empty', path: `/${path}` })),
};

const initramfs: Fact = {
  id: 'initramfs',
  title: 'the initramfs lies beside the kernel and starts an ostree root (ostree-prepare-root)',
  reads: [/^usr\/lib\/modules\/[^/]+\/initramfs\.img$/],
  async check(image) {
    const found: Finding[] = [];
    for (const release of kernels(image)) {
      const path = `${MODULES}/${release}/initramfs.img`;
      const bytes = image.bytes(path);
      if (bytes === undefined) found.push({ message: 'there is no initramfs', path: `/${path}` });
      else {
        try {
          const names = await initramfsNames(bytes);
          if (!names.some((name) => nameOf(name) === 'ostree-prepare-root'))
            found.push({ message: 'the initramfs has no ostree-prepare-root', path: `/${path}` });
        } catch (error) {
          if (!(error instanceof InitramfsError)) throw error;
          found.push({ message: `the initramfs cannot be read: ${error.message}`, path: `/${path}` });
        }
      }
    }
    return found;
  },
};

/** https://bootc-dev.github.io/bootc/building/kernel-arguments.html */
const kargs: Fact = {
  id: 'kernel-arguments',
  title: 'files in /usr/lib/bootc/kargs.d are TOML with a list of kargs',
  reads: [/^usr\/lib\/bootc\/kargs\.d\/[^/]+$/],
  *check(image) {
    for (const path of image.children('usr/lib/bootc/kargs.d')) {
      if (!path.endsWith('.toml')) {
        yield { message: 'only names that end in .toml are read', path: `/${path}` };
        continue;
      }
      try {
        const { kargs: words, ...others } = parse(image.text(path) ?? '');
        const unknown = Object.keys(others).filter((key) => key !== 'match-architectures');
        if (unknown.length > 0) yield { message: `unknown key ${unknown.join(', ')}`, path: `/${path}` };
        if (!Array.isArray(words) || words.some((word) => typeof word !== 'string'))
          yield { message: 'kargs is not a list of strings', path: `/${path}` };
      } catch (error) {
        yield { message: messageOf(error), path: `/${path}` };
      }
    }
  },
};

/** Modules that a node of any kind loads, and those that KubeVirt needs besides; each as a module or built in. */
const NODE_MODULES = ['overlay', 'br_netfilter', 'nf_tables', 'nf_conntrack', 'veth', 'vxlan', 'virtio_net', 'virtio_blk', 'ext4'] as const;
const KUBEVIRT_MODULES = ['kvm', 'vhost_net', 'vfio', 'vfio_pci', 'tun', 'openvswitch', 'iscsi_tcp', 'igb'] as const;

/** Every name of a module in a kernel's folder, built-in ones included, with `-` as `_`. */
function moduleNames(image: ImageView, release: string): ReadonlySet<string> {
  const folder = `${MODULES}/${release}`;
  const names = new Set<string>();
  const add = (path: string): void =>
    void names.add(
      nameOf(path)
        .replace(/\.ko(\.\w+)?$/, '')
        .replaceAll('-', '_'),
    );
  for (const path of (image.text(`${folder}/modules.builtin`) ?? '').split('\n')) if (path.endsWith('.ko')) add(path);
  for (const entry of image.below(folder)) if (/\.ko(\.(xz|zst|gz))?$/.test(entry.path)) add(entry.path);
  return names;
}

function modulesFact(fact: Pick<Fact, 'id' | 'title' | 'group'>, wanted: readonly string[]): Fact {
  return {
    ...fact,
    reads: [/^usr\/lib\/modules\/[^/]+\/modules\.builtin$/],
    *check(image) {
      for (const release of kernels(image)) {
        const names = moduleNames(image, release);
        for (const name of wanted) {
          if (!names.has(name)) yield { message: `the kernel has no module ${name}`, path: `/${MODULES}/${release}` };
        }
      }
    },
  };
}

export const KERNEL_FACTS: readonly Fact[] = [
  one,
  config,
  initramfs,
  kargs,
  modulesFact({ id: 'kernel-modules', title: 'the kernel has what containers and a cluster network need' }, NODE_MODULES),
  modulesFact({ id: 'kubevirt-modules', title: 'the kernel has what KubeVirt needs of a node', group: 'kubevirt' }, KUBEVIRT_MODULES),
];
