import { parse } from 'smol-toml';

import { messageOf } from '../../../core/errors.ts';
import { inRange } from '../../../core/versions.ts';
import { KVCI_LABELS } from '../../labels.ts';
import { tmpfilesPaths, unitLines, UNIT_FILES, unitValues, TMPFILES } from '../systemd.ts';
import type { Fact } from '../types.ts';
import { configLines, type ImageView } from '../view.ts';
import { preloadedRefs } from './images.ts';
import { usesCrio } from './services.ts';

const CONTAINERD_FILES = /^(etc|usr\/lib|usr\/share)\/(containerd|kvci)\/.*\.toml$/;
const CRIO_FILES = /^(etc|usr\/lib|usr\/share)\/crio\/(crio\.conf(\.d\/[^/]+)?)$/;

type Table = Readonly<Record<string, unknown>>;

interface RuntimeConfig {
  readonly path: string;
  readonly systemdCgroup: boolean;
  readonly cniDirectories: readonly string[];
  readonly sandboxImage: string | undefined;
  readonly problem?: string;
}

/** The configuration of the image's container runtime as the runtime itself would merge it. */
function runtimeConfig(image: ImageView): RuntimeConfig {
  return usesCrio(image) ? crioConfig(image) : containerdConfig(image);
}

/** https://github.com/containerd/containerd/blob/main/docs/cri/config.md: version 3 (containerd 2) and version 2 (containerd 1). */
function containerdConfig(image: ImageView): RuntimeConfig {
  const start = unitValues(unitLines(image, 'containerd.service'), 'ExecStart').join(' ');
  const main = /(?:--config|-c)[= ](\S+)/.exec(start)?.[1]?.slice(1) ?? image.etc('containerd/config.toml');
  const empty = { path: `/${main}`, systemdCgroup: false, cniDirectories: [], sandboxImage: undefined };
  try {
    const text = image.text(main);
    if (text === undefined) return { ...empty, problem: 'there is no such file' };
    const first = parse(text);
    const imports = strings(first['imports']).flatMap((pattern) => glob(image, pattern.slice(1)));
    const tables = [first, ...imports.map((path) => parse(image.text(path) ?? ''))];
    const last = (...keys: readonly string[]): unknown =>
      tables.map((table) => dig(table, ['plugins', ...keys])).findLast((value) => value !== undefined);
    const runtime = ['io.containerd.cri.v1.runtime', 'io.containerd.grpc.v1.cri'] as const;
    const either = (...keys: readonly string[]): unknown => last(runtime[0], ...keys) ?? last(runtime[1], ...keys);
    const sandbox = last('io.containerd.cri.v1.images', 'pinned_images', 'sandbox') ?? last(runtime[1], 'sandbox_image');
    const directory = either('cni', 'bin_dir');
    return {
      path: `/${main}`,
      systemdCgroup: either('containerd', 'runtimes', 'runc', 'options', 'SystemdCgroup') === true,
      cniDirectories: [...strings(either('cni', 'bin_dirs')), ...(typeof directory === 'string' && directory !== '' ? [directory] : [])],
      sandboxImage: typeof sandbox === 'string' ? sandbox : undefined,
    };
  } catch (error) {
    return { ...empty, problem: messageOf(error) };
  }
}

/** https://github.com/cri-o/cri-o/blob/main/docs/crio.conf.5.md: systemd is CRI-O's own default. */
function crioConfig(image: ImageView): RuntimeConfig {
  const files = [image.etc('crio/crio.conf'), 'usr/lib/crio/crio.conf.d', image.etc('crio/crio.conf.d')].flatMap((path) =>
    image.entry(path)?.type === 'directory' ? image.children(path) : [path],
  );
  try {
    const tables = files.map((path) => parse(image.text(path) ?? ''));
    const last = (...keys: readonly string[]): unknown =>
      tables.map((table) => dig(table, ['crio', ...keys])).findLast((value) => value !== undefined);
    const sandbox = last('image', 'pause_image');
    return {
      path: '/etc/crio/crio.conf.d',
      systemdCgroup: (last('runtime', 'cgroup_manager') ?? 'systemd') === 'systemd',
      cniDirectories: strings(last('network', 'plugin_dirs')),
      sandboxImage: typeof sandbox === 'string' ? sandbox : undefined,
    };
  } catch (error) {
    return { path: '/etc/crio/crio.conf.d', systemdCgroup: false, cniDirectories: [], sandboxImage: undefined, problem: messageOf(error) };
  }
}

function dig(table: Table, keys: readonly string[]): unknown {
  let value: unknown = table;
  for (const key of keys) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, key)) return undefined;
    value = (value as Table)[key];
  }
  return value;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((word) => typeof word === 'string') : [];
}

/** Paths that a pattern with at most one `*`, in its last part, names; sorted. */
function glob(image: ImageView, pattern: string): readonly string[] {
  const [start = '', end] = pattern.split('*');
  const folder = pattern.slice(0, pattern.lastIndexOf('/'));
  return image.children(folder).filter((path) => (end === undefined ? path === pattern : path.startsWith(start) && path.endsWith(end)));
}

const READS = [CONTAINERD_FILES, CRIO_FILES, UNIT_FILES];

const cgroups: Fact = {
  id: 'cgroup-driver',
  title: 'the container runtime uses the systemd cgroup driver',
  reads: READS,
  check(image) {
    const config = runtimeConfig(image);
    if (config.problem !== undefined) return [{ message: config.problem, path: config.path }];
    return config.systemdCgroup ? [] : [{ message: 'the cgroup driver is not systemd', path: config.path }];
  },
};

const sandboxImage: Fact = {
  id: 'sandbox-image',
  title: 'the pause image that the container runtime starts is preloaded',
  reads: READS,
  check(image) {
    const config = runtimeConfig(image);
    const refs = preloadedRefs(image);
    if (config.problem !== undefined || refs.size === 0) return [];
    if (config.sandboxImage === undefined) return [{ message: 'the sandbox image is not set', path: config.path }];
    return refs.has(config.sandboxImage) ? [] : [{ message: `${config.sandboxImage} is not preloaded`, path: config.path }];
  },
};

/** What bridge networks and kubelet's own probes need; a CNI of the cluster brings its own besides. */
export const CNI_PLUGINS = ['bridge', 'host-local', 'loopback', 'portmap'] as const;

const cniPlugins: Fact = {
  id: 'cni-plugins',
  title: 'the CNI plugins are where the container runtime looks, and executable',
  reads: [...READS, TMPFILES],
  check(image) {
    const { cniDirectories, path, problem } = runtimeConfig(image);
    if (problem !== undefined) return [];
    if (cniDirectories.length === 0) return [{ message: 'no CNI directory is configured', path }];
    const sources = [...cniDirectories.map((folder) => folder.slice(1)), ...seededFrom(image, cniDirectories)];
    return CNI_PLUGINS.filter((plugin) => !sources.some((folder) => isExecutable(image, `${folder}/${plugin}`))).map((plugin) => ({
      message: `${plugin} is in none of ${cniDirectories.join(', ')}`,
      path,
    }));
  },
};

const cniDirectories: Fact = {
  id: 'cni-writable',
  title: 'installers of a cluster network can write plugins where the container runtime looks',
  reads: READS,
  check(image) {
    const config = runtimeConfig(image);
    if (config.problem !== undefined || config.cniDirectories.length === 0) return [];
    const writable = config.cniDirectories.some((folder) => image.resolve(folder)?.startsWith('var/') === true);
    const opt = image.resolve('opt/cni/bin')?.startsWith('var/') === true;
    const found = writable ? [] : [{ message: `none of ${config.cniDirectories.join(', ')} is in /var`, path: config.path }];
    return opt ? found : [...found, { message: 'installers write here, and it is read-only', path: '/opt/cni/bin' }];
  },
};

/** Folders of the image that tmpfiles.d copies or links into one of the directories at boot. */
function seededFrom(image: ImageView, directories: readonly string[]): string[] {
  const resolved = new Set(directories.map((folder) => image.resolve(folder)));
  return image.dropIns('tmpfiles.d', '.conf').flatMap((file) =>
    configLines(image.text(file)).flatMap((line) => {
      const [type = '', path = '', , , , , argument] = line.split(/\s+/);
      return /^[CL]/.test(type) && argument !== undefined && resolved.has(image.resolve(path)) ? [argument.replace(/^\//, '')] : [];
    }),
  );
}

function isExecutable(image: ImageView, path: string): boolean {
  const target = image.target(path);
  return target?.type === 'file' && (target.mode & 0o111) !== 0;
}

const VOLUME_PLUGINS = 'usr/libexec/kubernetes/kubelet-plugins/volume/exec';
const KUBELET_SETTINGS = /^etc\/(default|sysconfig)\/kubelet$|^(etc|usr\/lib)\/kubernetes\/.*\.(conf|ya?ml)$/;

/** Up to 1.35 kubeadm mounts the default directory into the controller manager and fails where it cannot be made (image-mode.md). */
const volumePlugins: Fact = {
  id: 'volume-plugin-directory',
  title: "kubelet's volume plugin directory is in /var, and kubeadm's default one exists up to 1.35",
  reads: [KUBELET_SETTINGS, UNIT_FILES, TMPFILES],
  *check(image) {
    const lines = unitLines(image, 'kubelet.service');
    const files = unitValues(lines, 'EnvironmentFile').map((path) => path.replace(/^-?\//, ''));
    const drops = [...image.below('usr/lib/kubernetes'), ...image.below(image.etc('kubernetes'))].filter(({ path }) =>
      /\.ya?ml$|\.conf$/.test(path),
    );
    const said = [
      ...lines,
      ...files.flatMap((path) => configLines(image.text(path))),
      ...drops.flatMap(({ path }) => configLines(image.text(path))),
    ].join('\n');
    const inVar =
      /(--volume-plugin-dir[= ]|volumePluginDir:\s*"?)\/var\//.test(said) || image.resolve(VOLUME_PLUGINS)?.startsWith('var/') === true;
    if (!inVar) yield { message: 'kubelet is not told a directory in /var', path: '/usr/lib/systemd/system/kubelet.service' };
    const version = image.labels[KVCI_LABELS.kubernetes];
    if (
      version !== undefined &&
      inRange(version, '<1.36.0-0') &&
      image.target(VOLUME_PLUGINS)?.type !== 'directory' &&
      !tmpfilesPaths(image).has(image.resolve(VOLUME_PLUGINS) ?? '')
    )
      yield { message: 'does not exist, and /usr is read-only', path: `/${VOLUME_PLUGINS}` };
  },
};

export const RUNTIME_FACTS: readonly Fact[] = [cgroups, sandboxImage, cniPlugins, cniDirectories, volumePlugins];
