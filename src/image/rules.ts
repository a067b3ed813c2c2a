import { KvciError } from '../core/errors.ts';
import { inRange } from '../core/versions.ts';

/** What differs between versions in a node image. */
export interface NodeFacts {
  /** kubeadm mounts the default volume plugin directory of the controller manager, which has to exist on a read-only /usr. */
  readonly volumePluginDirectory: boolean;
  /** Version of containerd's configuration file. */
  readonly containerdConfig: 2 | 3;
  /** containerd takes a list of CNI directories; else one. */
  readonly cniDirectories: boolean;
  /** A reason why these versions do not go together. */
  readonly refused?: string;
}

export interface NodeRule {
  /** Semver ranges; a rule holds when all that it names hold. */
  readonly kubernetes?: string;
  readonly containerd?: string;
  readonly sets: Partial<NodeFacts>;
  readonly because: string;
}

/** The only place where a node image depends on versions. Later rows win. */
const NODE_RULES: readonly NodeRule[] = [
  {
    kubernetes: '<1.36.0-0',
    sets: { volumePluginDirectory: true },
    because: 'kubeadm lost its support of flex volumes in 1.36: https://github.com/kubernetes/kubernetes/pull/136423',
  },
  {
    containerd: '>=2.0.0-0',
    sets: { containerdConfig: 3 },
    because: 'containerd 2 split the CRI plugin: https://github.com/containerd/containerd/blob/main/docs/containerd-2.0.md',
  },
  {
    containerd: '>=2.1.0-0',
    sets: { cniDirectories: true },
    because: 'bin_dirs replaced bin_dir in 2.1, which is gone in 2.3: https://containerd.io/releases/#deprecated-config-properties',
  },
  {
    kubernetes: '>=1.37.0-0',
    containerd: '<2.0.0-0',
    sets: { refused: 'kubelet 1.37 and newer refuse containerd 1' },
    because: 'kubelet needs the cgroup driver from the runtime, which containerd 1 does not tell',
  },
];

const WITHOUT_RULES: NodeFacts = { volumePluginDirectory: false, containerdConfig: 2, cniDirectories: false };

/**
 * The facts of a node of these versions; containerd is undefined for CRI-O.
 *
 * @throws KvciError `versions-do-not-fit`
 */
export function nodeFacts(
  versions: { readonly kubernetes: string; readonly containerd?: string | undefined },
  rules = NODE_RULES,
): NodeFacts {
  const holds = (range: string | undefined, version: string | undefined): boolean =>
    range === undefined || (version !== undefined && inRange(version, range));
  const facts: NodeFacts = Object.assign(
    { ...WITHOUT_RULES },
    ...rules
      .filter((rule) => holds(rule.kubernetes, versions.kubernetes) && holds(rule.containerd, versions.containerd))
      .map(({ sets }) => sets),
  ) as NodeFacts;
  if (facts.refused === undefined) return facts;
  throw new KvciError(
    'usage',
    'versions-do-not-fit',
    `Kubernetes ${versions.kubernetes} with containerd ${versions.containerd ?? ''}: ${facts.refused}`,
  );
}
