import { zstdCompressSync } from 'node:zlib';

import { KVCI_LABELS } from '../../src/image/labels.ts';
import type { ImageTree } from '../../src/image/check/types.ts';
import { usesCrio } from '../../src/image/check/facts/services.ts';
import { nameOf, parentOf, ImageView } from '../../src/image/check/view.ts';
import { cpioArchive } from '../fixtures/cpio.ts';
import type { MemoryTree } from '../fixtures/image-tree.ts';

export interface Mutation {
  /** The one fact that the change breaks. */
  readonly fact: string;
  readonly title: string;
  readonly mutate: (tree: MemoryTree) => void;
}

const PRIVATE_KEY = `-----BEGIN OPENSSH PRIVATE KEY-----\n${'b3BlbnNzaC1rZXktdjEAAAAABG5vbmU'.repeat(2)}\n-----END OPENSSH PRIVATE KEY-----\n`;

/**
 * One change or more for every fact, each breaking exactly that one, on any tree that all facts hold for: the synthetic one of
 * the unit test as well as one that was read from a built image. Paths are looked up in the tree, as distributions differ.
 */
export function mutationsFor(tree: ImageTree): readonly Mutation[] {
  const image = new ImageView(tree);
  const one = (fact: string, title: string, mutate: (tree: MemoryTree) => unknown): Mutation => ({
    fact,
    title,
    mutate: (over) => void mutate(over),
  });
  const first = (what: string, test: (path: string) => boolean): string => {
    const path = [...tree.nodes.keys()].toSorted().find(test);
    if (path === undefined) throw new Error(`the tree has no ${what}`);
    return path;
  };
  const kernel = parentOf(first('kernel', (path) => /^usr\/lib\/modules\/[^/]+\/vmlinuz$/.test(path)));
  const index = first(
    'preloaded images',
    (path) => path.startsWith('usr/') && path.endsWith('/index.json') && tree.nodes.has(`${parentOf(path)}/oci-layout`),
  );
  const blobs = `${parentOf(index)}/blobs/sha256`;
  const largestBlob = [...image.children(blobs)].toSorted((a, b) => tree.nodes.get(b)!.size - tree.nodes.get(a)!.size)[0]!;
  const binary = (name: string): string =>
    first(name, (path) => /^usr\/(local\/)?s?bin\//.test(path) && nameOf(path) === name && image.target(path) !== undefined);
  const shadow = image.etc('shadow');
  const disable =
    (...units: readonly string[]) =>
    (over: MemoryTree): void => {
      for (const path of [...over.nodes.keys()])
        if (/\.(wants|requires|upholds)\//.test(path) && units.includes(nameOf(path))) over.remove(path);
    };
  const module =
    (name: string) =>
    (over: MemoryTree): void => {
      const pattern = new RegExp(`(^|/)${name.replaceAll('_', '[-_]')}\\.ko(\\.\\w+)?$`);
      for (const path of [...over.nodes.keys()]) if (path.startsWith(`${kernel}/`) && pattern.test(path)) over.remove(path);
      const builtin = `${kernel}/modules.builtin`;
      const lines = Buffer.from(over.content(builtin) ?? '')
        .toString('utf8')
        .split('\n');
      over.file(builtin, lines.filter((line) => !pattern.test(line)).join('\n'));
    };
  const editAll =
    (pattern: RegExp, line: RegExp, replacement: string) =>
    (over: MemoryTree): void => {
      let changed = false;
      for (const path of [...over.nodes.keys()].filter((name) => pattern.test(name))) {
        const text = Buffer.from(over.content(path) ?? '').toString('utf8');
        if (!line.test(text)) continue;
        over.edit(path, (before) => before.replaceAll(line, replacement));
        changed = true;
      }
      if (!changed) throw new Error(`no ${String(pattern)} has ${String(line)}`);
    };
  const cri = usesCrio(image) ? 'crio' : 'containerd';
  const criConfig = /^(usr\/)?(etc|lib|share)\/(containerd|crio|kvci)\/.*\.(toml|conf)$/;

  return [
    one('bootc-label', 'without its label', (over) => over.label('containers.bootc', undefined)),
    one('labels', 'a label is missing', (over) => over.label('org.opencontainers.image.source', undefined)),
    one('labels', 'the base is not said', (over) => over.label(KVCI_LABELS.base, '')),
    one('provenance', 'no bill of materials', (over) => over.remove('usr/share/kvci/sbom.cdx.json')),
    one('provenance', 'a broken record of inputs', (over) => over.file('usr/share/kvci/provenance.json', '{')),

    one('kernel', 'a second kernel', (over) => {
      for (const file of ['vmlinuz', 'config', 'initramfs.img', 'modules.builtin'])
        over.file(`${kernel}x/${file}`, over.content(`${kernel}/${file}`) ?? 'x');
      for (const entry of image.below(kernel)) if (/\.ko(\.\w+)?$/.test(entry.path)) over.file(entry.path.replace(kernel, `${kernel}x`));
    }),
    one('kernel', 'no kernel', (over) => over.remove(`${kernel}/vmlinuz`)),
    one('kernel', 'modules of another kernel', (over) => over.file('usr/lib/modules/1.2.3/modules.dep')),
    one('kernel-config', 'no kernel config', (over) => over.remove(`${kernel}/config`)),
    one('initramfs', 'no initramfs', (over) => over.remove(`${kernel}/initramfs.img`)),
    one('initramfs', 'an initramfs without ostree', (over) =>
      over.file(`${kernel}/initramfs.img`, zstdCompressSync(cpioArchive(['init']))),
    ),
    one('initramfs', 'an initramfs that is not one', (over) => over.file(`${kernel}/initramfs.img`, 'nothing of the kind')),
    one('kernel-arguments', 'broken TOML', (over) => over.file('usr/lib/bootc/kargs.d/99-bad.toml', 'kargs = [')),
    one('kernel-arguments', 'kargs is a string', (over) => over.file('usr/lib/bootc/kargs.d/99-bad.toml', 'kargs = "quiet"\n')),
    one('kernel-modules', 'no overlay module', module('overlay')),
    one('kernel-modules', 'no br_netfilter module', module('br_netfilter')),
    one('kubevirt-modules', 'no vhost_net module', module('vhost_net')),
    one('kubevirt-modules', 'no openvswitch module', module('openvswitch')),

    one('boot-empty', 'a kernel in /boot', (over) => over.file('boot/vmlinuz', 'x')),
    one('run-tmp-empty', 'a file in /run', (over) => over.file('run/lock/x', 'x')),
    one('run-tmp-empty', 'a file in /tmp', (over) => over.file('tmp/x', 'x')),
    one('run-tmp-empty', 'a file in /var/tmp', (over) => over.file('var/tmp/x', 'x')),
    one('var-log', 'a log', (over) => over.file('var/log/dpkg.log', 'x')),
    one('var-empty', 'a database in /var', (over) => over.file('var/lib/kvci-test/db', 'x')),
    one('var-empty', 'container images in /var', (over) => over.directory('var/lib/kvci-test/io.containerd.content')),
    one('etc', 'both /etc and /usr/etc', (over) => over.file(image.etc('x').startsWith('usr/') ? 'etc/other' : 'usr/etc/other', 'x')),
    one('api-base-directories', 'no /proc', (over) => over.remove('proc')),
    one('sysroot', 'no /sysroot', (over) => over.remove('sysroot')),
    one('sysroot', '/ostree is a directory', (over) => over.remove('ostree').directory('ostree')),
    one('links', '/srv is a directory', (over) => over.remove('srv').directory('srv')),
    one('links', '/home leads elsewhere', (over) => over.remove('home').link('home', 'usr/home')),
    one('link-targets', 'nothing makes /var/roothome', editAll(/tmpfiles\.d\/[^/]+\.conf$/, /^\S+\s+\/var\/roothome(\s.*)?$/gm, '')),
    one('prepare-root', 'no prepare-root.conf', (over) => over.remove('usr/lib/ostree/prepare-root.conf')),
    one('prepare-root', 'neither composefs nor a read-only sysroot', (over) =>
      over.file('usr/lib/ostree/prepare-root.conf', '[composefs]\nenabled = false\n'),
    ),
    one('utf8-names', 'a name in latin1', (over) => over.file('usr/share/caf\udce9', 'x')),
    one('world-writable', 'a file for everybody', (over) => over.file('usr/share/open', 'x', 0o666)),
    one('world-writable', 'a directory for everybody', (over) => over.directory('usr/share/open', 0o777)),
    one('dangling-links', 'a unit that is not there', (over) =>
      over.link('usr/lib/systemd/system/multi-user.target.wants/gone.service', '../gone.service'),
    ),

    one('machine-id', 'an identity', (over) => over.file(image.etc('machine-id'), `${'0123456789abcdef'.repeat(2)}\n`)),
    one('machine-id', 'no machine-id', (over) => over.remove(image.etc('machine-id'))),
    one('hostname', 'a name', (over) => over.file(image.etc('hostname'), 'node01\n')),
    one('resolv-conf', "the build host's resolvers", (over) =>
      over.remove(image.etc('resolv.conf')).file(image.etc('resolv.conf'), 'nameserver 192.0.2.1\n'),
    ),
    one('host-keys', 'a host key', (over) => over.file(`${image.etc('ssh')}/ssh_host_ed25519_key`, PRIVATE_KEY, 0o600)),
    one('authorized-keys', 'a key of the builder', (over) => over.file('usr/share/skel/.ssh/authorized_keys', 'ssh-ed25519 AAAA me\n')),
    one('passwords', 'a hash', (over) => over.edit(shadow, (text) => text.replace(/^root:[^:]*/m, 'root:$6$salt$hash'))),
    one('passwords', 'no password needed', (over) => over.edit(shadow, (text) => text.replace(/^root:[^:]*/m, 'root:'))),
    one('passwords', 'a second root', (over) => over.edit(image.etc('passwd'), (text) => `${text}toor:x:0:0::/:/bin/sh\n`)),
    one('ssh-keys-only', 'passwords over SSH', (over) =>
      over.file(`${image.etc('ssh')}/sshd_config.d/00-first.conf`, 'PasswordAuthentication yes\n'),
    ),
    one('private-keys', 'a private key', (over) => over.file('usr/share/keys/id', PRIVATE_KEY, 0o600)),
    one('credentials', 'a login of a registry', (over) => over.file(image.etc('containers/auth.json'), '{"auths":{}}')),
    one('credentials', 'a kubeconfig', (over) => over.file(image.etc('kubernetes/admin.conf'), 'apiVersion: v1\n')),
    one('credentials', 'a netrc', (over) => over.file('usr/share/skel/.netrc', 'machine x\n')),
    one('build-leftovers', 'a proxy in the environment', (over) => over.env('HTTPS_PROXY=http://192.0.2.1:3128')),
    one('build-leftovers', "apt's proxy", (over) =>
      over.file(image.etc('apt/apt.conf.d/proxy'), 'Acquire::http::Proxy "http://192.0.2.1";\n'),
    ),
    one('build-leftovers', "the build host's CA", (over) => over.file(image.etc('pki/ca-trust/source/anchors/corp.pem'), 'x')),

    one('kubelet-enabled', 'kubelet is not enabled', disable('kubelet.service', 'kubelet.path')),
    one('runtime-enabled', 'the container runtime is not enabled', disable(`${cri}.service`)),
    one('runtime-enabled', 'the container runtime is masked', (over) =>
      over.link(`${image.etc('systemd/system')}/${cri}.service`, '/dev/null'),
    ),
    one('ssh-enabled', 'SSH is not enabled', disable('ssh.service', 'sshd.service', 'ssh.socket', 'sshd.socket')),
    one('network-enabled', 'the network is not enabled', disable('systemd-networkd.service')),
    one('resolved-enabled', 'resolved is not enabled', disable('systemd-resolved.service')),
    one('image-import-enabled', 'nothing imports the images', (over) =>
      disable(...[...over.nodes.keys()].map(nameOf).filter((name) => /^kvci-.*image/.test(name)))(over),
    ),
    one(
      'kubelet-unit',
      "kubelet does not take kubeadm's flags",
      editAll(/systemd\/system\/kubelet\.service(\.d\/.*)?$/, /\$KUBELET_KUBEADM_ARGS/g, ''),
    ),
    one(
      'kubelet-waits',
      'kubelet does not wait',
      editAll(
        /systemd\/system\/kubelet\.service(\.d\/.*)?$/,
        /^(ConditionPathExists|ConditionFileNotEmpty|ExecCondition)=.*kubelet.*$/gm,
        '',
      ),
    ),
    one(
      'network-profile',
      'waits for IPv6',
      editAll(/systemd\/network\/.*\.network$/, /^DHCP=yes$/gm, 'DHCP=yes\n[Link]\nRequiredFamilyForOnline=both'),
    ),
    one('network-profile', 'no DHCP', editAll(/systemd\/network\/.*\.network$/, /^DHCP=(yes|true)$/gm, 'DHCP=no')),
    one('modules-load', 'br_netfilter is not loaded', editAll(/modules-load\.d\/[^/]+\.conf$/, /^br_netfilter$/gm, '')),
    one('sysctls', 'no IPv6 forwarding', (over) => over.file('usr/lib/sysctl.d/99-zz.conf', 'net.ipv6.conf.all.forwarding = 0\n')),
    one('swap', 'a swap unit', (over) => over.file('usr/lib/systemd/system/dev-sda2.swap', '[Swap]\n')),
    one('swap', 'a swap area in fstab', (over) => over.file(image.etc('fstab'), '/dev/sda2 none swap sw 0 0\n')),
    one('swap', 'swap in memory', (over) => over.file('usr/lib/systemd/zram-generator.conf', '[zram0]\n')),
    one('firewall', 'firewalld', (over) => over.file('usr/sbin/firewalld', '#!/bin/sh\n', 0o755)),

    one(
      'cgroup-driver',
      'cgroupfs',
      cri === 'crio'
        ? (over) => over.file(`${image.etc('crio/crio.conf.d')}/99.conf`, '[crio.runtime]\ncgroup_manager = "cgroupfs"\n')
        : editAll(criConfig, /SystemdCgroup\s*=\s*true/g, 'SystemdCgroup = false'),
    ),
    one('cgroup-driver', 'configuration that is not TOML', editAll(criConfig, /^version\s*=/gm, 'version == ')),
    one('sandbox-image', 'another pause image', editAll(criConfig, /registry\.k8s\.io\/pause:/g, 'registry.k8s.io/other-pause:')),
    one('cni-plugins', 'no bridge plugin', (over) => {
      for (const path of [...over.nodes.keys()]) if (/\/cni\/(.*\/)?bridge$/.test(path)) over.remove(path);
    }),
    one('cni-plugins', 'a plugin that cannot be run', (over) =>
      over.chmod(
        first('bridge plugin', (path) => /\/cni\/(.*\/)?bridge$/.test(path) && tree.nodes.get(path)?.type === 'file'),
        0o644,
      ),
    ),
    one('cni-writable', 'installers cannot write', editAll(criConfig, /"\/(opt|var)\/[^"]*cni[^"]*bin"/g, '"/usr/lib/cni"')),
    one('volume-plugin-directory', 'kubelet uses its default', (over) => {
      over.remove('usr/libexec/kubernetes/kubelet-plugins').directory('usr/libexec/kubernetes/kubelet-plugins/volume/exec');
      editAll(/kubelet/, /(--volume-plugin-dir[= ]|volumePluginDir:\s*"?)\/var\//g, '$1/usr/')(over);
    }),

    one('kubernetes-binaries', 'no kubelet', (over) => over.remove(binary('kubelet'))),
    one('kubernetes-binaries', 'kubectl is a script', (over) =>
      over.remove(binary('kubectl')).file(binary('kubectl'), '#!/bin/sh\n', 0o755),
    ),
    one('kubernetes-binaries', 'kubeadm cannot be run', (over) => over.chmod(image.target(binary('kubeadm'))!.path, 0o644)),
    one('kubernetes-binaries', 'kubelet of another architecture', (over) => {
      const path = image.target(binary('kubelet'))!.path;
      const head = Buffer.from(image.observation(path)!.head);
      head.writeUInt16LE(243, 18);
      over.file(path, head, 0o755);
    }),
    one('runtime-binaries', 'no supervisor of containers', (over) => {
      for (const name of cri === 'crio' ? ['conmon'] : ['containerd-shim-runc-v2'])
        for (const folder of ['usr/bin', 'usr/sbin']) over.remove(`${folder}/${name}`);
    }),
    one('node-tools', 'no nft', (over) => over.remove(binary('nft'))),

    one('container-entrypoint', 'starts with systemd at once', (over) => (over.config = configWith(over, { Entrypoint: [] }))),
    one('container-entrypoint', 'starts with a shell', (over) => (over.config = configWith(over, { Cmd: ['/bin/sh'] }))),
    one('container-entrypoint', 'is stopped as other containers', (over) => (over.config = configWith(over, { StopSignal: 'SIGTERM' }))),
    one('container-entrypoint', 'an entrypoint that cannot be run', (over) => over.chmod('usr/libexec/kvci/entrypoint', 0o644)),
    one('container-without-cgroups', 'no crun', (over) => over.remove(binary('crun'))),
    one('container-kind', 'another version', (over) => over.file('usr/lib/kvci/kind/version', 'v1.0.0\n')),
    one('container-kind', 'no link to what kind wants', (over) => over.remove('kind')),
    one('container-kind', 'no pod network', (over) => over.remove('usr/lib/kvci/kind/manifests/default-cni.yaml')),
    one('container-kind', 'no crictl', (over) => over.remove('usr/bin/crictl')),
    one('pod-network-enabled', 'routes are not set', disable('kvci-pod-network.service')),

    one('preloaded-images', 'a blob is missing', (over) => over.remove(largestBlob)),
    one('preloaded-images', 'a blob has other content', (over) =>
      over.file(largestBlob, Buffer.alloc(tree.nodes.get(largestBlob)!.size, 1)),
    ),
    one('preloaded-references', 'CoreDNS is not there', (over) =>
      over.edit(index, (text) => text.replaceAll('coredns/coredns:', 'coredns/other:')),
    ),
  ];
}

function configWith({ config }: MemoryTree, change: MemoryTree['config']['config']): MemoryTree['config'] {
  return { ...config, config: { ...config.config, ...change } };
}
