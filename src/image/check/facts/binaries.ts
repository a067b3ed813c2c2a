import type { Fact, Finding } from '../types.ts';
import type { ImageView } from '../view.ts';
import { usesCrio } from './services.ts';

/** e_machine of the ELF header: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html */
const MACHINES: Readonly<Record<string, number>> = { amd64: 62, arm64: 183 };
const FOLDERS = ['usr/bin', 'usr/sbin', 'usr/local/bin', 'usr/libexec/crio'] as const;

function binaryFindings(image: ImageView, name: string): Finding[] {
  const path = FOLDERS.map((folder) => `${folder}/${name}`).find((candidate) => image.target(candidate) !== undefined);
  if (path === undefined) return [{ message: `there is no ${name}`, path: `/usr/bin/${name}` }];
  const head = image.observation(path)?.head;
  const { architecture } = image.tree.config;
  if (((image.target(path)?.mode ?? 0) & 0o111) === 0) return [{ message: 'is not executable', path: `/${path}` }];
  if (head === undefined || Buffer.from(head.subarray(0, 5)).toString('latin1') !== '\x7fELF\x02')
    return [{ message: 'is not a 64-bit ELF executable', path: `/${path}` }];
  const machine = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint16(18, true);
  return machine === MACHINES[architecture] ? [] : [{ message: `is not for ${architecture} (ELF machine ${machine})`, path: `/${path}` }];
}

const kubernetes: Fact = {
  id: 'kubernetes-binaries',
  title: "kubelet, kubeadm and kubectl are executables for the image's architecture",
  check: (image) => ['kubelet', 'kubeadm', 'kubectl'].flatMap((name) => binaryFindings(image, name)),
};

const runtime: Fact = {
  id: 'runtime-binaries',
  title: "the container runtime's executables are for the image's architecture",
  check(image) {
    if (usesCrio(image)) return ['crio', conmonOf(image)].flatMap((name) => binaryFindings(image, name));
    const oci = ['runc', 'crun'].find((name) => FOLDERS.some((folder) => image.target(`${folder}/${name}`) !== undefined)) ?? 'runc';
    return ['containerd', 'containerd-shim-runc-v2', oci].flatMap((name) => binaryFindings(image, name));
  },
};

/** CRI-O's own packages bring theirs under another name: https://github.com/cri-o/packaging/blob/main/templates/latest/cri-o/cri-o.spec */
function conmonOf(image: ImageView): string {
  return image.target('usr/bin/crio-conmon') === undefined ? 'conmon' : 'crio-conmon';
}

/** kubeadm's preflight and kubelet call them: cmd/kubeadm/app/preflight/checks_linux.go. */
const TOOLS = ['mount', 'losetup', 'ip', 'ethtool', 'conntrack', 'nft'] as const;

const tools: Fact = {
  id: 'node-tools',
  title: 'the tools that kubeadm, kubelet and kube-proxy call are there',
  check: (image) =>
    TOOLS.filter((name) => !FOLDERS.some((folder) => image.target(`${folder}/${name}`) !== undefined)).map((name) => ({
      message: `there is no ${name}`,
      path: `/usr/sbin/${name}`,
    })),
};

export const BINARY_FACTS: readonly Fact[] = [kubernetes, runtime, tools];
