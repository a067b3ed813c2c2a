import semver from 'semver';

import type { GoModFile, ModuleRef } from './go-client.ts';
import { stagingVersion } from './served-versions.ts';
import type { PayloadVersions } from './types.ts';

export const PROGRAM_GROUPS = ['kubernetes', 'etcd', 'containerd', 'coredns', 'pause'] as const;
export type ProgramGroupName = (typeof PROGRAM_GROUPS)[number];

/** Programs that one `go build` makes. */
export interface GoBuild {
  /** Import path of each program's main package by the name its file gets. */
  readonly programs: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
}

/** Programs of one module graph: upstream's own, so that each is built from the module versions upstream builds it from. */
export interface ProgramGroup {
  readonly name: ProgramGroupName;
  readonly builds: readonly GoBuild[];
  /** String variables set by the linker, by `package.name`. */
  readonly variables: Readonly<Record<string, string>>;
}

export interface Stamp {
  readonly versions: PayloadVersions;
  /** ISO 8601: the time of the release. */
  readonly created: string;
  readonly commit: string | undefined;
  /** etcdctl of the same version is served. */
  readonly etcdctl: boolean;
}

/** Upstream's own build tags: hack/lib/golang.sh of Kubernetes, the Makefiles of containerd and CoreDNS. */
const KUBERNETES_TAGS = ['selinux', 'notest', 'grpcnotrace'];
const CONTAINERD_TAGS = ['urfave_cli_no_docs', 'osusergo', 'netgo', 'static_build', 'no_btrfs', 'no_devmapper', 'no_zfs'];

const KUBERNETES_PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubeadm',
  'kubectl',
  'kubelet',
] as const;

/** The programs of a group, and how they are built and stamped. */
export function programGroup(name: ProgramGroupName, stamp: Stamp): ProgramGroup {
  switch (name) {
    case 'kubernetes':
      return {
        name,
        builds: [
          {
            programs: Object.fromEntries(KUBERNETES_PROGRAMS.map((program) => [program, `k8s.io/kubernetes/cmd/${program}`])),
            tags: KUBERNETES_TAGS,
          },
        ],
        variables: kubernetesVersionVariables(stamp),
      };
    case 'etcd':
      return {
        name,
        builds: [
          {
            programs: {
              etcd: 'go.etcd.io/etcd/server/v3',
              ...(stamp.etcdctl ? { etcdctl: 'go.etcd.io/etcd/etcdctl/v3' } : {}),
            },
            tags: ['grpcnotrace'],
          },
        ],
        variables: {},
      };
    case 'containerd': {
      const root = 'github.com/containerd/containerd/v2';
      return {
        name,
        builds: [
          { programs: { containerd: `${root}/cmd/containerd`, ctr: `${root}/cmd/ctr` }, tags: CONTAINERD_TAGS },
          // As upstream: the shim speaks ttrpc only, which keeps gRPC out of a process that runs once a pod.
          { programs: { 'containerd-shim-runc-v2': `${root}/cmd/containerd-shim-runc-v2` }, tags: [...CONTAINERD_TAGS, 'no_grpc'] },
        ],
        variables: { [`${root}/version.Version`]: `v${stamp.versions.containerd ?? ''}`, [`${root}/version.Package`]: root },
      };
    }
    case 'coredns':
      return { name, builds: [{ programs: { coredns: moduleName(name) }, tags: ['grpcnotrace'] }], variables: {} };
    case 'pause':
      return { name, builds: [{ programs: { pause: moduleName(name) }, tags: [] }], variables: {} };
  }
}

/** The name of the generated main module of a group: it is seen in `go version -m` only. */
function moduleName(group: ProgramGroupName): string {
  return `kvci/payload/${group}`;
}

/**
 * What upstream stamps into every program, by hack/lib/version.sh of Kubernetes; `archive` is its word for a source tree
 * without git.
 */
export function kubernetesVersionVariables(stamp: Stamp): Record<string, string> {
  const version = stamp.versions.kubernetes;
  const values = {
    buildDate: stamp.created.replace(/\.\d+Z$/, 'Z'),
    gitCommit: stamp.commit ?? '',
    gitTreeState: stamp.commit === undefined ? 'archive' : 'clean',
    gitVersion: `v${version}`,
    gitMajor: String(semver.major(version)),
    gitMinor: `${String(semver.minor(version))}${semver.prerelease(version) === null ? '' : '+'}`,
  };
  return Object.fromEntries(
    ['k8s.io/client-go/pkg/version', 'k8s.io/component-base/version'].flatMap((root) =>
      Object.entries(values).map(([name, value]) => [`${root}.${name}`, value]),
    ),
  );
}

/** `-ldflags` of one group: no symbol tables, variables sorted so that equal inputs give an equal key. */
export function linkerFlags(variables: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(variables).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return ['-s', '-w', ...sorted.map(([name, value]) => `-X '${name}=${value}'`)].join(' ');
}

/** The modules that a group's own go.mod requires. */
export function requiredModules(name: ProgramGroupName, stamp: Pick<Stamp, 'versions' | 'etcdctl'>): readonly ModuleRef[] {
  const { versions } = stamp;
  switch (name) {
    case 'kubernetes':
      return [{ path: 'k8s.io/kubernetes', version: `v${versions.kubernetes}` }];
    case 'etcd':
      return [
        ...(stamp.etcdctl ? [{ path: 'go.etcd.io/etcd/etcdctl/v3', version: `v${versions.etcd}` }] : []),
        { path: 'go.etcd.io/etcd/server/v3', version: `v${versions.etcd}` },
      ];
    case 'containerd':
      return [{ path: 'github.com/containerd/containerd/v2', version: `v${versions.containerd ?? ''}` }];
    case 'coredns':
      return [{ path: 'github.com/coredns/coredns', version: `v${versions.coredns}` }];
    case 'pause':
      return [];
  }
}

/**
 * The go.mod of a group: requires upstream's module, takes over its language version and GODEBUG defaults (they are read from
 * the main module only), and puts published staging modules where upstream's own go.mod names folders of its repository.
 */
export function renderGoMod(
  name: ProgramGroupName,
  required: readonly ModuleRef[],
  upstream: Pick<GoModFile, 'go' | 'godebug' | 'local'>,
): string {
  const [main] = required;
  const staging = name === 'kubernetes' && main !== undefined ? upstream.local : [];
  const lines = [
    `module ${moduleName(name)}`,
    '',
    `go ${upstream.go}`,
    ...(upstream.godebug.length === 0 ? [] : ['', ...upstream.godebug.map(({ key, value }) => `godebug ${key}=${value}`)]),
    ...(required.length === 0 ? [] : ['', 'require (', ...required.map(({ path, version }) => `\t${path} ${version}`), ')']),
    ...(staging.length === 0
      ? []
      : [
          '',
          'replace (',
          ...staging.toSorted().map((path) => `\t${path} => ${path} ${stagingVersion((main?.version ?? '').replace(/^v/, ''))}`),
          ')',
        ]),
  ];
  return `${lines.join('\n')}\n`;
}

export interface BuildSetting {
  readonly build: GoBuild;
  readonly variables: Readonly<Record<string, string>>;
  /** Folder that the programs are written to. */
  readonly output: string;
}

/** Arguments of `go` for one build; `-v` names each package as it is compiled, which is the progress shown. */
export function goBuildArguments({ build, variables, output }: BuildSetting): string[] {
  return ['build', '-v', ...tagArguments(build.tags), '-ldflags', linkerFlags(variables), '-o', output, ...Object.values(build.programs)];
}

export function tagArguments(tags: readonly string[]): string[] {
  return tags.length === 0 ? [] : ['-tags', tags.join(',')];
}

/** The file name that `go build -o FOLDER/` gives a program: the last element of its import path that is no major version. */
export function builtName(importPath: string): string {
  const elements = importPath.split('/');
  const last = elements.at(-1) ?? '';
  return /^v\d+$/.test(last) ? (elements.at(-2) ?? last) : last;
}
