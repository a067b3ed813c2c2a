import { KvciError } from '../../core/errors.ts';
import type { KubernetesApi, KubernetesObject, ObservedPod } from '../../host/kubernetes.ts';
import type { IpFamily } from '../../machine/types.ts';
import type { BootedNode } from './boot.ts';

const NAME = 'kvci-probe';
const NAMESPACE = 'kube-system';
const PORT = 8080;
/** Open once a pod's check has passed: what kubelet asks. */
const PASSED_PORT = 8081;

/** Seconds that a look may take; a peer that goes away in the middle of an answer would be waited for without end. */
const LOOK_S = 20;

const LABEL = 'app.kubernetes.io/name';
const LABELS: Readonly<Record<string, string>> = { [LABEL]: NAME };

/** What the node image lists its preloaded images in: `REF DIGEST` lines. */
const IMAGES_LIST = '/usr/lib/kvci/images.list';

/** Folders of a node that its programs and their loader are found by; the last is not on every architecture. */
const USERLAND = ['/usr', '/lib', '/lib64'];

export interface ProbeRequest {
  /** An image that every node has. Nothing of it is used but its empty root. */
  readonly image: string;
  readonly nodes: number;
  readonly families: readonly IpFamily[];
  /** How long a pod waits before it looks again. */
  readonly everySeconds: number;
  /** Folders of the node that its programs and their loader are found by: `/usr`, `/lib` and, where the node has it, `/lib64`. */
  readonly userland: readonly string[];
}

/**
 * A pod on each node that serves and is Ready when it has resolved the name of all of them by cluster DNS and reached every
 * address, of each IP family. It looks by itself and then opens a port that kubelet waits for: a check that kubelet runs starts the OCI
 * runtime each time. Whoever waits only watches for Ready.
 *
 * Its programs are the node's own: no image with a shell has to be there.
 */
export function probe(request: ProbeRequest): readonly KubernetesObject[] {
  const mounts = request.userland.map((path) => ({ name: `host${path.replaceAll('/', '-')}`, path }));
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: NAME, namespace: NAMESPACE, labels: LABELS },
      spec: {
        clusterIP: 'None',
        ipFamilyPolicy: 'PreferDualStack',
        // They are resolved before they are Ready: being resolved is what makes them so.
        publishNotReadyAddresses: true,
        selector: LABELS,
        ports: [{ port: PORT }],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: NAME, namespace: NAMESPACE, labels: LABELS },
      spec: {
        selector: { matchLabels: LABELS },
        template: {
          metadata: { labels: LABELS },
          spec: {
            tolerations: [{ operator: 'Exists' }],
            automountServiceAccountToken: false,
            enableServiceLinks: false,
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: 'probe',
                image: request.image,
                imagePullPolicy: 'Never',
                command: ['/usr/bin/bash', '-c', serveScript(request), NAME, checkScript(request)],
                readinessProbe: { tcpSocket: { port: PASSED_PORT }, periodSeconds: 1, timeoutSeconds: LOOK_S, failureThreshold: 1 },
                volumeMounts: mounts.map(({ name, path }) => ({ name, mountPath: path, readOnly: true })),
              },
            ],
            volumes: mounts.map(({ name, path }) => ({ name, hostPath: { path } })),
          },
        },
      },
    },
  ];
}

const SOCKET: Readonly<Record<IpFamily, { listen: string; options: string; lookup: string; peer: string }>> = {
  ipv4: { listen: 'TCP4-LISTEN', options: 'fork,reuseaddr', lookup: 'ahostsv4', peer: '$address' },
  ipv6: { listen: 'TCP6-LISTEN', options: 'fork,reuseaddr,ipv6only=1', lookup: 'ahostsv6', peer: '[$address]' },
};

/** Serves, looks until all is there, and then serves the second port, too: its first argument is the check. */
function serveScript({ families, everySeconds }: ProbeRequest): string {
  const serve = (port: number, family: IpFamily, direction: string, what: string): string =>
    `/usr/bin/socat ${direction} ${SOCKET[family].listen}:${port},${SOCKET[family].options} ${what} &`;
  return [
    ...families.map((family) => serve(PORT, family, '-U', 'EXEC:"/usr/bin/echo here"')),
    `until /usr/bin/timeout ${LOOK_S} /usr/bin/bash -euc "$1"; do /usr/bin/sleep ${everySeconds}; done`,
    // Whichever of the pod's addresses kubelet asks at.
    ...families.map((family) => serve(PASSED_PORT, family, '-u', 'OPEN:/dev/null')),
    'wait',
  ].join('\n');
}

/** `getent` answers each address once per kind of socket; `getent ahostsv6` also IPv4 addresses written as IPv6 ones. */
function checkScript({ families, nodes }: ProbeRequest): string {
  return [
    `name=${NAME}.${NAMESPACE}.svc.cluster.local`,
    ...families.flatMap((family) => [
      'declare -A found=()',
      `while read -r address _; do [[ $address == ::ffff:* ]] || found[$address]=1; done < <(/usr/bin/getent ${SOCKET[family].lookup} "$name")`,
      `[ "\${#found[@]}" = ${nodes} ]`,
      'for address in "${!found[@]}"; do',
      `  [ "$(/usr/bin/socat -u "TCP:${SOCKET[family].peer}:${PORT},connect-timeout=3" STDOUT)" = here ]`,
      'done',
    ]),
  ].join('\n');
}

export function isProbe({ labels }: ObservedPod): boolean {
  return labels[LABEL] === NAME;
}

/** On an emulated node a look takes a second of a processor, which others need. */
export const EVERY_SECONDS = { real: 1, emulated: 3 } as const;

/** Starts the probe with what a node of the cluster, as all others, has. */
export async function startProbe(
  { handle: node, facts }: Pick<BootedNode, 'handle' | 'facts'>,
  nodes: number,
  families: readonly IpFamily[],
  api: KubernetesApi,
  signal: AbortSignal,
): Promise<void> {
  const { stdout: list } = await node.run(['cat', IMAGES_LIST], { signal });
  // Exit code 2: one of them is not there.
  const { stdout: folders } = await node.run(['ls', '-d', ...USERLAND], { accept: [2], signal });
  const everySeconds = EVERY_SECONDS[facts.emulated ? 'emulated' : 'real'];
  const objects = probe({
    image: pauseImage(list),
    nodes,
    families,
    everySeconds,
    userland: folders.split('\n').filter((line) => line !== ''),
  });
  await Promise.all(objects.map((object) => api.apply(object, signal)));
}

export async function removeProbe(api: KubernetesApi, signal: AbortSignal): Promise<void> {
  const objects = probe({ image: '', nodes: 0, families: [], everySeconds: 1, userland: [] });
  await Promise.all(objects.map((object) => api.remove(object, signal)));
}

/** @throws KvciError `not-a-node-image` */
export function pauseImage(list: string): string {
  const pause = list
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .find((ref) => /(^|\/)pause:/.test(ref));
  if (pause !== undefined) return pause;
  throw new KvciError('failed', 'not-a-node-image', `the node image lists no pause image in ${IMAGES_LIST}`);
}
