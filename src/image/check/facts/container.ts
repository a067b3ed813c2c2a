import { KVCI_LABELS } from '../../labels.ts';
import { isEnabled } from '../systemd.ts';
import type { Fact, Finding } from '../types.ts';
import type { ImageView } from '../view.ts';

const ENTRYPOINT = '/usr/libexec/kvci/entrypoint';
const CRUN = '/usr/libexec/kvci/crun-without-cgroups';

/** systemd(1): it shuts down in good order on this signal only. */
const STOP_SIGNAL = 'SIGRTMIN+3';

function executableFindings(image: ImageView, paths: readonly string[]): Finding[] {
  return paths
    .filter((path) => ((image.target(path.slice(1))?.mode ?? 0) & 0o111) === 0)
    .map((path) => ({ message: 'is not there, or cannot be run', path }));
}

const entrypoint: Fact = {
  id: 'container-entrypoint',
  title: 'a container of the image starts as a node: the entrypoint, systemd, its stop signal',
  *check(image) {
    const { Entrypoint = [], Cmd = [], StopSignal = '' } = image.tree.config.config ?? {};
    if (Entrypoint.join(' ') !== ENTRYPOINT) yield { message: `the entrypoint is "${Entrypoint.join(' ')}", not ${ENTRYPOINT}` };
    if (Cmd.join(' ') !== '/sbin/init') yield { message: `the command is "${Cmd.join(' ')}", not /sbin/init` };
    if (StopSignal !== STOP_SIGNAL) yield { message: `the stop signal is "${StopSignal}", not ${STOP_SIGNAL}` };
    yield* executableFindings(image, [ENTRYPOINT]);
  },
};

const withoutCgroups: Fact = {
  id: 'container-without-cgroups',
  title: 'pods can run in a container without cgroup controllers: crun and its wrapper',
  check: (image) => executableFindings(image, ['/usr/bin/crun', CRUN]),
};

const podNetwork: Fact = {
  id: 'pod-network-enabled',
  title: 'the routes of the pod network are set at boot',
  check: (image) =>
    isEnabled(image, 'kvci-pod-network.service')
      ? executableFindings(image, ['/usr/libexec/kvci/pod-network'])
      : [{ message: 'the unit is not enabled', path: '/usr/lib/systemd/system/kvci-pod-network.service' }],
};

/** Where upstream's kind looks for what it wants of a node, through a link: https://kind.sigs.k8s.io/docs/design/node-image/ */
const KIND = 'kind';
const MANIFEST = `${KIND}/manifests/default-cni.yaml`;

const upstreamKind: Fact = {
  id: 'container-kind',
  title: "upstream's kind finds the version, a pod network and crictl, where containerd runs",
  reads: [/^(usr\/lib\/kvci\/)?kind\//, /^etc\/containerd\/config\.toml$/],
  *check(image) {
    if (image.text('etc/containerd/config.toml') === undefined) return;
    const version = `v${image.labels[KVCI_LABELS.kubernetes] ?? ''}`;
    const found = image.text(`${KIND}/version`)?.trim() ?? 'nothing';
    if (found !== version) yield { message: `says ${found}, not ${version}`, path: `/${KIND}/version` };
    if (!(image.text(MANIFEST) ?? '').includes('kind: DaemonSet')) yield { message: 'has no pod network', path: `/${MANIFEST}` };
    yield* executableFindings(image, ['/usr/bin/crictl', '/usr/libexec/kvci/kind-network']);
  },
};

export const CONTAINER_FACTS: readonly Fact[] = [entrypoint, withoutCgroups, podNetwork, upstreamKind];
