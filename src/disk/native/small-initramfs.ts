import { Buffer } from 'node:buffer';
import { posix } from 'node:path';

import { KvciError } from '../../core/errors.ts';
import { renderTemplate, type TemplateSources } from '../../core/template.ts';
import { decompress } from '../../image/check/cpio.ts';
import { followPath } from '../../oci/image.ts';
import type { SpooledTree } from '../../oci/spool.ts';
import { pieces } from './contents.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { neededBy } from './elf.ts';
import { modulesToLoad } from './modules.ts';

/** Mounts the deployment that `ostree=` names: the image's own, so that it is the same root as with the image's initramfs. */
const PREPARE_ROOT = 'usr/lib/ostree/ostree-prepare-root';
const PREPARE_ROOT_CONFIG = 'usr/lib/ostree/prepare-root.conf';

/** Where distributions have libraries. */
const LIBRARIES = ['usr/lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu', 'usr/lib64', 'usr/lib'] as const;

/** What the init script runs. */
const APPLETS = ['cat', 'findfs', 'insmod', 'mount', 'sh', 'switch_root', 'usleep'] as const;

const FOLDERS = ['dev', 'proc', 'run', 'sys', 'sysroot'] as const;

export interface InitramfsParts {
  readonly spooled: Pick<SpooledTree, 'tree' | 'place'>;
  /** Of the kernel. */
  readonly release: string;
  readonly filesystem: 'ext4';
  /** A busybox for the image's architecture that needs no library. */
  readonly busybox: Uint8Array;
  readonly templates: TemplateSources;
}

/**
 * An initramfs for machines whose disks are virtio's, uncompressed: an emulated processor copies faster than it unpacks.
 *
 * @throws KvciError `no-prepare-root`, `kernel-without-module`
 */
export async function smallInitramfs(parts: InitramfsParts): Promise<Buffer> {
  const { filesystem, busybox, templates } = parts;
  const files = new Map<string, CpioEntry>();
  const add = (path: string, content: Uint8Array, mode = 0o755): void => void files.set(path, { path, type: 'file', mode, content });
  add('bin/busybox', busybox);
  for (const applet of APPLETS)
    files.set(`bin/${applet}`, { path: `bin/${applet}`, type: 'symlink', mode: 0o777, content: Buffer.from('busybox') });
  for (const [path, content] of programFiles(PREPARE_ROOT, parts)) add(path, content);
  const config = read(PREPARE_ROOT_CONFIG, parts);
  if (config !== undefined) add(PREPARE_ROOT_CONFIG, config, 0o644);
  const modules = await moduleFiles(parts);
  for (const { name, content } of modules) add(`modules/${name}`, content, 0o644);
  add('modules/order', Buffer.from(modules.map(({ name }) => `${name}\n`).join('')), 0o644);
  add('init', Buffer.from(renderTemplate(templates, 'disk/native/init', { filesystem, prepareRoot: `/${PREPARE_ROOT}` })));
  return writeCpio([...foldersOf([...files.keys(), ...FOLDERS.map((folder) => `${folder}/`)]), ...files.values()]);
}

function read(path: string, { spooled }: InitramfsParts): Buffer | undefined {
  const node = followPath(spooled.tree, path);
  return node?.type === 'file' ? Buffer.concat([...pieces(spooled, node)]) : undefined;
}

/** A program with its loader and all libraries, by the paths under which they are looked for. */
function programFiles(program: string, parts: InitramfsParts): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>();
  const add = (path: string): void => {
    const content = read(path, parts);
    if (content === undefined || files.has(path)) return;
    files.set(path, content);
    const { interpreter, libraries, runpath } = neededBy(content);
    if (interpreter !== undefined) add(interpreter.slice(1));
    const folders = [...runpath.map((folder) => folder.replace('$ORIGIN', posix.dirname(`/${path}`)).slice(1)), ...LIBRARIES];
    for (const library of libraries) {
      const found = folders
        .map((folder) => posix.join(folder, library))
        .find((place) => followPath(parts.spooled.tree, place)?.type === 'file');
      if (found !== undefined) add(found);
    }
  };
  add(program);
  if (files.size > 0) return files;
  throw new KvciError('failed', 'no-prepare-root', `the image has no /${program}: it is not made to be deployed by OSTree`);
}

async function moduleFiles(parts: InitramfsParts): Promise<readonly { readonly name: string; readonly content: Uint8Array }[]> {
  const folder = `usr/lib/modules/${parts.release}`;
  const text = (name: string): string => read(`${folder}/${name}`, parts)?.toString('utf8') ?? '';
  const paths = modulesToLoad(['virtio_pci', 'virtio_blk', parts.filesystem], {
    dependencies: text('modules.dep'),
    builtin: text('modules.builtin'),
  });
  return Promise.all(
    paths.map(async (path) => {
      const stored = read(`${folder}/${path}`, parts) ?? Buffer.alloc(0);
      const content = path.endsWith('.ko') ? stored : await decompress(stored);
      return { name: posix.basename(path).replace(/\.ko(\.\w+)?$/, '.ko'), content };
    }),
  );
}

/** All folders that the paths need, parents first; a path that ends with a slash is one itself. */
function foldersOf(paths: readonly string[]): CpioEntry[] {
  const folders = new Set(
    paths.flatMap((path) =>
      path
        .split('/')
        .slice(0, -1)
        .map((_, index, parts) => parts.slice(0, index + 1).join('/')),
    ),
  );
  return [...folders].toSorted().map((path) => ({ path, type: 'directory', mode: 0o755, content: Buffer.alloc(0) }));
}
