import { resolve } from 'node:path';

import type { Command } from 'commander';

import { KvciError } from '../core/errors.ts';
import type { LoadedConfig } from '../config/load.ts';
import { parseCaFlags, parseMirrorFlags } from '../cluster/registry-options.ts';
import { OPTION_FLAGS } from '../cluster/differences.ts';
import { type ClusterOptions, clusterOptionsSchema } from '../cluster/options.ts';
import type { ImageOptions } from '../image/options.ts';
import { collect, flagValue } from './command.ts';
import { badFlag, imageOptions, present } from './image-flags.ts';
import type { WantedCluster } from './services.ts';

/** The flags that say what cluster to have; each stands for a key of the `cluster` section of kvci.yaml. */
export interface ClusterFlags {
  readonly k8s?: string;
  readonly image?: string;
  readonly nodes?: number;
  readonly controlPlanes?: number;
  readonly provider?: string;
  readonly controlPlaneProvider?: string;
  readonly ipFamily?: string;
  readonly cni?: string;
  readonly sha256?: string;
  readonly cpus?: number;
  readonly memory?: string;
  readonly diskSize?: string;
  readonly cpuModel?: string;
  readonly karg?: readonly string[];
  readonly vnc?: true;
  readonly qemuArgs?: readonly string[];
  readonly acceleration?: string;
  readonly sandbox?: string;
  readonly registry?: true;
  readonly mirror?: readonly string[];
  readonly ca?: readonly string[];
}

const FLAG_OF_KEY: Readonly<Record<string, string>> = { ...OPTION_FLAGS, name: 'NAME', image: '--image', provider: '--provider' };

export function addClusterFlags(command: Command): Command {
  return command
    .option('--k8s <version>', 'Kubernetes version of the image, built if it is not there (default: stable)')
    .option('--image <ref>', 'tag or digest of a node image in the store, instead of building one')
    .option('--nodes <number>', 'number of nodes, control planes included (default: 1)', flagValue('--nodes', Number))
    .option('--control-planes <number>', 'how many of them are control planes (default: 1)', flagValue('--control-planes', Number))
    .option('--provider <name>', 'kind (containers), vm (virtual machines) or auto (default: auto)')
    .option('--control-plane-provider <name>', 'kind or vm: what control planes are, where that differs from the other nodes')
    .option('--ip-family <family>', 'dual, ipv4 or ipv6 (default: dual)')
    .option('--cni <network>', 'bridge, none or the address of a manifest (default: bridge)')
    .option('--sha256 <digest>', 'SHA-256 of the manifest that --cni names')
    .option(
      '--cpu, --cpus <number>',
      'processors of each node (default: all of the host; of a virtual machine one to four)',
      flagValue('--cpus', Number),
    )
    .option('--memory <size>', 'memory of each node, such as 4G (default: no bound; of a virtual machine what the host has room for)')
    .option('--registry', 'a registry beside the cluster: push to localhost:PORT (see "kvci ports"), pull registry:5000/NAME in pods')
    .option('--mirror <host=url>', 'a mirror that nodes ask first for the images of a registry; once for each registry', collect)
    .option('--ca <file>', 'certificates that mirrors may be signed by; HOST=FILE for those of one registry and its mirror', collect)
    .option('--disk-size <size>', "of virtual machines: size of each node's own disk (default: that of the image's disk)")
    .option(
      '--cpu-model <name>',
      'of virtual machines: processor as QEMU names it; host for that of this host (default: one that most have)',
    )
    .option('--karg <argument>', 'of virtual machines: a kernel argument to add; may be given more than once', collect)
    .option('--vnc', 'of virtual machines: give each a screen; "kvci console NODE --vnc" tells where')
    .option('--qemu-args <words>', "of virtual machines: words for QEMU's command line, as they are; may be given more than once", words)
    .option('--acceleration <kind>', 'of virtual machines: auto, kvm or emulation (default: auto)')
    .option('--sandbox <kind>', "of virtual machines: namespaces, or a container of this host's engine (default: namespaces)");
}

/** Words that have blanks in them are for kvci.yaml, where they are a list. */
function words(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(/\s+/).filter((word) => word !== '')];
}

/**
 * The cluster that kvci.yaml and the flags over it ask for.
 *
 * @param cwd where paths of flags start; those of kvci.yaml start from its folder
 * @throws KvciError `bad-flag`
 */
export function wantedCluster(loaded: LoadedConfig, cwd: string, name: string | undefined, flags: ClusterFlags): WantedCluster {
  if (flags.image !== undefined && flags.k8s !== undefined) {
    throw new KvciError('usage', 'bad-flag', '--k8s: and --image exclude each other: an image has its version', {
      facts: { flag: '--k8s' },
    });
  }
  const { nodes, controlPlanes, provider, controlPlaneProvider, ipFamily, cni, cpus, memory, image } = flags;
  const { diskSize, cpuModel, vnc, qemuArgs, acceleration, sandbox, karg: kargs, sha256: cniSha256 } = flags;
  const { registry, mirror = [], ca = [] } = flags;
  const before = loaded.config.cluster;
  const mirrors = mirror.length === 0 ? undefined : { ...before?.mirrors, ...parseMirrorFlags(mirror) };
  const cas = { ...absolutePaths(before?.cas ?? {}, loaded.folder), ...parseCaFlags(ca, (path) => resolve(cwd, path)) };
  const given = {
    ...before,
    ...present({ name, image, nodes, controlPlanes, provider, controlPlaneProvider, ipFamily, cni, cniSha256, cpus, memory }),
    ...present({ diskSize, cpuModel, kargs, vnc, qemuArgs, acceleration, sandbox }),
    ...present({ registry, mirrors, cas: Object.keys(cas).length === 0 ? undefined : cas }),
  };
  const parsed = clusterOptionsSchema.safeParse(given);
  if (!parsed.success) throw badFlag(parsed.error.issues[0], FLAG_OF_KEY, 'up');
  const asked = Object.fromEntries(Object.entries(parsed.data).filter(([key]) => key in given)) as Partial<ClusterOptions>;
  const ref = parsed.data.image;
  // A version on the command line wins over an image in the file.
  if (ref !== undefined && (image !== undefined || flags.k8s === undefined)) {
    return { options: parsed.data, asked, image: { kind: 'stored', ref }, wanted: ref };
  }
  const k8s = flags.k8s ?? loaded.config.image?.k8s;
  const build = imageOptions(loaded, { k8s: k8s ?? 'stable' });
  return { options: parsed.data, asked, image: { kind: 'built', options: build }, wanted: k8s === undefined ? undefined : inWords(build) };
}

function absolutePaths(paths: Readonly<Record<string, string>>, folder: string): Record<string, string> {
  return Object.fromEntries(Object.entries(paths).map(([key, path]) => [key, resolve(folder, path)]));
}

/** What an image is built of, as people say it. */
function inWords({ k8s, base, payload, packages, kernel }: ImageOptions): string {
  return [
    `Kubernetes ${k8s} on ${base}`,
    ...(payload === 'auto' ? [] : [`from ${payload}`]),
    ...(packages.length === 0 ? [] : [`with ${packages.join(', ')}`]),
    ...(kernel === undefined ? [] : [`with kernel ${kernel}`]),
  ].join(' ');
}
