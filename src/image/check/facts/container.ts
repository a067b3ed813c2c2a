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

export const CONTAINER_FACTS: readonly Fact[] = [entrypoint, withoutCgroups, podNetwork];
