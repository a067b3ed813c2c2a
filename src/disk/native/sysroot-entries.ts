import { posix } from 'node:path';
import { Readable } from 'node:stream';

import type { TemplateSources } from '../../core/template.ts';
import type { TarEntryWithContent } from '../../host/tar.ts';
import type { SpooledTree } from '../../oci/spool.ts';
import type { TreeNode } from '../../oci/tree.ts';
import { streamOf } from './contents.ts';
import type { Kernel } from './kernel.ts';
import { FileObjects, objectPath } from './objects.ts';
import { commit, type CommitFacts } from './ostree-objects.ts';
import { treeObjects } from './ostree-tree.ts';
import { type DeployableRoot, VENDOR_ETC } from './root.ts';
import { bootFiles, BOOT_LINKS, bootNames, REF, STATEROOT, SYSROOT_FOLDERS } from './sysroot.ts';

export interface SysrootParts {
  readonly root: DeployableRoot;
  readonly spooled: Pick<SpooledTree, 'place'>;
  readonly kernel: Kernel;
  /** sha256 in hex of kernel and initramfs. */
  readonly bootChecksum: string;
  /** Of the system, for people who look at the boot loader's menu. */
  readonly title: string;
  /** The kernel's command line. */
  readonly options: string;
  /** Of the commit; seconds since the epoch. */
  readonly created: number;
  readonly commit: Pick<CommitFacts, 'subject' | 'metadata'>;
  readonly templates: TemplateSources;
  /** What the machine has of its own from the start, by path below /var: files, and folders where there is no text. */
  readonly state: ReadonlyMap<string, { readonly mode: number; readonly text?: string }>;
}

/** What `ostree admin os-init` puts into a new /var. */
const STATE_FOLDERS: ReadonlyMap<string, number> = new Map([
  ['lib', 0o755],
  ['log', 0o755],
  ['tmp', 0o1777],
]);
const STATE_LINKS: ReadonlyMap<string, string> = new Map([
  ['lock', '../run/lock'],
  ['run', '../run'],
]);

/**
 * The file system of a disk with one deployment of the image, as entries of a tar in which nothing is before what it needs. Every
 * file's content is in it once: deployment and boot folder are hard links to the objects of the repository, but for /etc.
 *
 * @param deployed hears the folder of the deployment, which is known when all contents have been read
 */
export function* sysrootEntries(parts: SysrootParts, deployed: (folder: string) => void): Generator<TarEntryWithContent> {
  const { root, spooled, kernel } = parts;
  const tar = new EntryMaker(parts.created);
  for (const folder of SYSROOT_FOLDERS) yield* tar.folder(folder);

  const files = new FileObjects();
  for (const entry of files.entries(root.committed.values(), spooled)) {
    yield* tar.folder(posix.dirname(entry.path));
    yield entry;
  }
  const tree = treeObjects(root.committed, (node) => files.checksumOf(node));
  const head = commit({ ...tree.root, ...parts.commit, timestamp: parts.created, ref: REF });
  for (const { checksum, kind, bytes } of [...tree.objects, head]) yield* tar.file(objectPath(checksum, kind), bytes);
  yield* tar.file(`ostree/repo/refs/heads/${REF}`, `${head.checksum}\n`);

  const names = bootNames(kernel.release, parts.bootChecksum, head.checksum);
  const object = (node: TreeNode): string => objectPath(files.checksumOf(node), 'file');
  deployed(names.deployment);
  for (const [path, node] of root.committed) {
    const place = posix.join(names.deployment, path);
    if (node.type === 'directory') yield* tar.folder(place, { ...node, mtime: 0 });
    else yield* tar.hardlink(place, object(node), node);
  }
  // The machine's own copy, which may change.
  for (const [path, node] of root.committed) {
    if (path !== VENDOR_ETC && !path.startsWith(`${VENDOR_ETC}/`)) continue;
    const place = posix.join(names.deployment, 'etc', posix.relative(VENDOR_ETC, path));
    if (node.type === 'directory') yield* tar.folder(place, node);
    else yield copyOf(node, place, spooled);
  }

  yield* tar.folder(posix.dirname(`boot${names.kernel}`));
  yield* tar.hardlink(`boot${names.kernel}`, object(kernel.vmlinuz), kernel.vmlinuz);
  yield* tar.hardlink(`boot${names.initramfs}`, object(kernel.initramfs), kernel.initramfs);
  for (const [path, text] of bootFiles(parts.templates, names, menuTitle(parts), parts.options)) yield* tar.file(path, text);
  for (const [path, target] of [...BOOT_LINKS, [names.link, names.target] as const]) yield* tar.symlink(path, target);

  yield* stateEntries(parts, tar);
}

/** As OSTree calls a deployment whose commit has a version. */
function menuTitle({ title, commit: { metadata } }: SysrootParts): string {
  const { version } = metadata;
  return version === undefined ? title : `${title} ${version}`;
}

function* stateEntries({ root, spooled, state }: SysrootParts, tar: EntryMaker): Generator<TarEntryWithContent> {
  const folder = `ostree/deploy/${STATEROOT}/var`;
  yield* tar.folder(folder);
  const firsts = new Map<string, string>();
  for (const [path, node] of root.state) {
    const place = `${folder}/${path}`;
    const first = firsts.get(node.links[0] ?? path);
    if (node.type === 'directory') yield* tar.folder(place, node);
    else if (first !== undefined) yield { ...attributes(node), path: place, type: 'hardlink', size: 0, linkname: first, content: empty };
    else {
      firsts.set(node.links[0] ?? path, place);
      yield copyOf(node, place, spooled);
    }
  }
  for (const [path, mode] of STATE_FOLDERS) if (!root.state.has(path)) yield* tar.folder(`${folder}/${path}`, { mode });
  for (const [path, target] of STATE_LINKS) if (!root.state.has(path)) yield* tar.symlink(`${folder}/${path}`, target);
  for (const [path, { mode, text }] of state) {
    if (text === undefined) yield* tar.folder(`${folder}/${path}`, { mode });
    else yield* tar.file(`${folder}/${path}`, text, mode);
  }
}

function copyOf(node: TreeNode, path: string, spooled: SysrootParts['spooled']): TarEntryWithContent {
  return {
    ...attributes(node),
    ...(node.linkname === undefined ? {} : { linkname: node.linkname }),
    path,
    content: () => streamOf(spooled, node),
  };
}

function attributes({ type, mode, uid, gid, mtime, size, xattrs }: TreeNode): Omit<TarEntryWithContent, 'path' | 'content'> {
  return { type, mode, uid, gid, mtime, size, xattrs };
}

/** Makes entries of root's, with the folders that they need before them. */
class EntryMaker {
  readonly #folders = new Set(['.']);
  readonly #time: number;

  constructor(time: number) {
    this.#time = time;
  }

  *folder(path: string, like: Partial<Pick<TreeNode, 'mode' | 'uid' | 'gid' | 'mtime' | 'xattrs'>> = {}): Generator<TarEntryWithContent> {
    if (this.#folders.has(path)) return;
    yield* this.folder(posix.dirname(path));
    this.#folders.add(path);
    const { mode = 0o755, uid = 0, gid = 0, mtime = this.#time, xattrs = {} } = like;
    yield { path, type: 'directory', mode, uid, gid, mtime, size: 0, xattrs, content: empty };
  }

  *file(path: string, content: string | Uint8Array, mode = 0o644): Generator<TarEntryWithContent> {
    const bytes = Buffer.from(content as string);
    yield* this.folder(posix.dirname(path));
    yield { ...this.#entry(path, mode), type: 'file', size: bytes.length, content: () => Readable.from([bytes]) };
  }

  *symlink(path: string, linkname: string): Generator<TarEntryWithContent> {
    yield* this.folder(posix.dirname(path));
    yield { ...this.#entry(path, 0o777), type: 'symlink', linkname, content: empty };
  }

  /** To the object of a node: who reads the tar gives the file the attributes that its last link has. */
  *hardlink(path: string, linkname: string, node: TreeNode): Generator<TarEntryWithContent> {
    yield* this.folder(posix.dirname(path));
    yield { ...attributes(node), path, type: 'hardlink', size: 0, mtime: 0, linkname, content: empty };
  }

  #entry(path: string, mode: number): Omit<TarEntryWithContent, 'type' | 'content'> {
    return { path, mode, uid: 0, gid: 0, mtime: this.#time, size: 0, xattrs: {} };
  }
}

function empty(): Readable {
  return Readable.from([]);
}
