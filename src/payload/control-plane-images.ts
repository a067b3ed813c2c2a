import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';

import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { putBlob } from '../oci/blobs.ts';
import { writeLayer } from '../oci/layer.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { putManifest } from '../oci/manifests.ts';
import { type ImageConfig, type Layer, MEDIA_TYPES, type TreeEntry, type TreeEntryWithContent } from '../oci/types.ts';
import type { ImageName, ImageRefs } from './kubeadm-constants.ts';
import type { Architecture, PayloadImage } from './types.ts';

/** Raise when a change of this file changes the bytes of an image. */
export const IMAGES_VERSION = 1;

/** A program that goes into an image, on the host. */
export interface ImageProgram {
  readonly path: string;
  readonly size: number;
}

/** What images need beside Go programs. */
export interface Userland {
  /** CA certificates of the public web, one PEM text. */
  readonly certificates: Uint8Array;
  /** nft, iptables and their libraries: a root file system with merged /usr. */
  readonly proxy: readonly TreeEntryWithContent[];
}

export interface ImagesRequest {
  readonly refs: ImageRefs;
  readonly architecture: Architecture;
  /** ISO 8601: the time of everything in the images. */
  readonly created: string;
  /** By name: `kube-apiserver`, `etcdctl` (optional), ... */
  readonly programs: ReadonlyMap<string, ImageProgram>;
  readonly userland: Userland;
}

type Part = 'base' | 'proxy' | readonly ProgramPlace[];

interface ProgramPlace {
  readonly program: string;
  readonly path: string;
  readonly optional?: true;
  /** File capabilities (see capabilities(7)), as the value of the xattr `security.capability`. */
  readonly capability?: Uint8Array;
}

interface ImageSpec {
  readonly parts: readonly Part[];
  readonly entrypoint: string;
  /** `uid:gid`; root without it. */
  readonly user?: string;
  readonly ports?: readonly string[];
}

/**
 * `cap_net_bind_service=+ep` as struct vfs_cap_data of revision 2 (linux/capability.h), little-endian: magic with the effective
 * bit, permitted, inheritable, and both again for capabilities 32 to 63.
 */
const NET_BIND_SERVICE = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/**
 * The images as upstream makes them, without kube-log-runner: it is for clusters that send logs to files. CoreDNS runs as
 * distroless' nonroot and may bind port 53 by its file capability; pause runs as its own number.
 */
const IMAGES: Readonly<Record<ImageName, ImageSpec>> = {
  'kube-apiserver': kubernetesImage('kube-apiserver'),
  'kube-controller-manager': kubernetesImage('kube-controller-manager'),
  'kube-scheduler': kubernetesImage('kube-scheduler'),
  'kube-proxy': {
    parts: ['base', 'proxy', [{ program: 'kube-proxy', path: 'usr/local/bin/kube-proxy' }]],
    entrypoint: '/usr/local/bin/kube-proxy',
  },
  etcd: {
    parts: [
      'base',
      [
        { program: 'etcd', path: 'usr/local/bin/etcd' },
        { program: 'etcdctl', path: 'usr/local/bin/etcdctl', optional: true },
      ],
    ],
    entrypoint: '/usr/local/bin/etcd',
    ports: ['2379/tcp', '2380/tcp'],
  },
  coredns: {
    parts: ['base', [{ program: 'coredns', path: 'coredns', capability: NET_BIND_SERVICE }]],
    entrypoint: '/coredns',
    user: '65532:65532',
    ports: ['53/tcp', '53/udp'],
  },
  pause: { parts: [[{ program: 'pause', path: 'pause' }]], entrypoint: '/pause', user: '65535:65535' },
};

function kubernetesImage(program: string): ImageSpec {
  const path = `usr/local/bin/${program}`;
  return { parts: ['base', [{ program, path }]], entrypoint: `/${path}` };
}

const ENVIRONMENT = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt',
] as const;

/**
 * Writes all control-plane images into one layout, each under the reference that kubeadm asks for. Layers that images share
 * (users and certificates) are there once. Equal inputs give equal bytes.
 */
export async function assembleImages(layout: ImageLayout, request: ImagesRequest): Promise<readonly PayloadImage[]> {
  const mtime = Math.floor(Date.parse(request.created) / 1000);
  const made = new Map<Part, Promise<Layer>>();
  const layerOf = (part: Part): Promise<Layer> => {
    const layer = made.get(part) ?? writeLayer(layout, entriesOf(part, request, mtime), { compression: 'zstd', mtime });
    made.set(part, layer);
    return layer;
  };
  const names = (Object.keys(IMAGES) as ImageName[]).toSorted();
  const layered = await Promise.all(names.map(async (name) => ({ name, layers: await Promise.all(IMAGES[name].parts.map(layerOf)) })));
  const images: PayloadImage[] = [];
  // One after the other: the order of the index is part of the bytes.
  for (const { name, layers } of layered) {
    const ref = request.refs[name];
    images.push({ ref, manifest: await putImage(layout, imageConfig(name, layers, request), layers, ref) });
  }
  return images;
}

function entriesOf(part: Part, request: ImagesRequest, mtime: number): TreeEntryWithContent[] {
  const entries =
    part === 'base' ? baseEntries(request.userland) : part === 'proxy' ? [...request.userland.proxy] : programEntries(part, request);
  return withParents(entries).map((entry) => ({ ...entry, mtime }));
}

/** What distroless' static image has: users, a /tmp, CA certificates. */
function baseEntries({ certificates }: Userland): TreeEntryWithContent[] {
  return [
    textFile(
      'etc/passwd',
      'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n',
    ),
    textFile('etc/group', 'root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n'),
    textFile('etc/nsswitch.conf', 'hosts: files dns\n'),
    textFile('etc/ssl/certs/ca-certificates.crt', certificates),
    directory('home/nonroot', { mode: 0o700, uid: 65532, gid: 65532 }),
    directory('root', { mode: 0o700 }),
    directory('tmp', { mode: 0o1777 }),
  ];
}

function programEntries(places: readonly ProgramPlace[], request: ImagesRequest): TreeEntryWithContent[] {
  return places.flatMap(({ program, path, optional, capability }) => {
    const file = request.programs.get(program);
    if (file === undefined && optional === true) return [];
    if (file === undefined) throw new KvciError('bug', 'no-program', `the payload has no ${program} to put into an image`);
    return [
      {
        ...plainEntry(path, 'file', 0o755),
        size: file.size,
        xattrs: capability === undefined ? {} : { 'security.capability': Buffer.from(capability).toString('latin1') },
        content: () => createReadStream(file.path),
      },
    ];
  });
}

function imageConfig(name: ImageName, layers: readonly Layer[], { architecture, created, refs }: ImagesRequest): ImageConfig {
  const { entrypoint, user, ports = [] } = IMAGES[name];
  return {
    created,
    architecture,
    os: 'linux',
    config: {
      Env: [...ENVIRONMENT],
      Entrypoint: [entrypoint],
      WorkingDir: '/',
      ...(user === undefined ? {} : { User: user }),
      ...(ports.length === 0 ? {} : { ExposedPorts: Object.fromEntries(ports.map((port) => [port, {}])) }),
      Labels: { 'org.opencontainers.image.title': name, 'org.opencontainers.image.version': refs[name].split(':').at(-1) ?? '' },
    },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created, created_by: 'kvci' })),
  };
}

async function putImage(layout: ImageLayout, config: ImageConfig, layers: readonly Layer[], ref: string): Promise<Digest> {
  const written = await putBlob(layout, Buffer.from(JSON.stringify(config)));
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, ...written },
    layers: layers.map((layer) => layer.descriptor),
  } as const;
  return (await putManifest(layout, manifest, [ref])).digest;
}

// ---- entries --------------------------------------------------------------------------------------------------------

function plainEntry(path: string, type: TreeEntry['type'], mode: number): TreeEntry {
  return { path, type, mode, uid: 0, gid: 0, mtime: 0, size: 0, xattrs: {} };
}

export function textFile(path: string, text: string | Uint8Array): TreeEntryWithContent {
  const bytes = Buffer.from(text);
  return { ...plainEntry(path, 'file', 0o644), size: bytes.length, content: () => Readable.from([bytes]) };
}

export function symlink(path: string, target: string): TreeEntryWithContent {
  return { ...plainEntry(path, 'symlink', 0o777), linkname: target, content: noContent };
}

function directory(path: string, owner: { readonly mode: number; readonly uid?: number; readonly gid?: number }): TreeEntryWithContent {
  return { ...plainEntry(path, 'directory', owner.mode), uid: owner.uid ?? 0, gid: owner.gid ?? 0, content: noContent };
}

function noContent(): Readable {
  return Readable.from([]);
}

/** The entries and every folder above them that is not among them, as 0755 of root. */
function withParents(entries: readonly TreeEntryWithContent[]): TreeEntryWithContent[] {
  const all = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries) {
    const parts = path.split('/').slice(0, -1);
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const parent = parts.slice(0, depth).join('/');
      if (!all.has(parent)) all.set(parent, directory(parent, { mode: 0o755 }));
    }
  }
  return [...all.values()];
}
