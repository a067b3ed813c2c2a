import { stat } from 'node:fs/promises';
import { basename, dirname, join, posix, resolve } from 'node:path';
import type { Readable, Writable } from 'node:stream';

import { hasErrno, isErrno, KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import { entriesOf, unpackInto } from '../host/folder-tar.ts';
import type { Tar } from '../host/tar.ts';
import type { NodeHandle } from '../machine/types.ts';
import type { Copy } from './copy-paths.ts';

export interface CopyTools {
  readonly tar: Tar;
  readonly events: EventSink;
  readonly signal: AbortSignal;
  /** Where paths of this host start. */
  readonly cwd: string;
  /** For `-`. */
  readonly stdin?: Readable;
  readonly stdout: Writable;
}

/** Exit code of `test` for "no". */
const NO = 1;

const FORGET_MS = 5_000;

const TAKE = 'cat >"$1"';

/**
 * Copies a file or folder to a node or from it, as `cp -r` does: into a folder that is there, else as the name given. What stands
 * there is replaced file by file.
 *
 * @throws KvciError `path-not-found`, `not-a-folder`, `tar-leads-out`
 */
export async function copy(request: Copy, node: NodeHandle, tools: CopyTools): Promise<void> {
  try {
    if (request.way === 'up') await copyUp(request, node, tools);
    else await copyDown(request, node, tools);
  } catch (error) {
    // Of this host's file system: not allowed, a file where a folder is, no space.
    if (!isErrno(error) || error.syscall === undefined) throw error;
    throw new KvciError('failed', 'copy-failed', error.message, { facts: { path: error.path ?? '-' }, cause: error });
  }
}

async function copyUp({ from, to }: Extract<Copy, { readonly way: 'up' }>, node: NodeHandle, tools: CopyTools): Promise<void> {
  const { signal } = tools;
  const source = from === undefined ? undefined : resolve(tools.cwd, from);
  if (source !== undefined && !(await isThere(source))) throw notFound(source);
  const intoFolder = await isFolderOn(node, to.path, signal);
  if (source === undefined) {
    if (intoFolder || to.folder)
      throw new KvciError('usage', 'bad-path', `${node.name}:${to.path}: standard input becomes a file, not a folder`);
    await requireFolderOn(node, posix.dirname(to.path), signal);
    // The file is there when all of it is, which only this side knows.
    const taken = `${to.path}.kvci-new`;
    try {
      await node.run(['sh', '-c', TAKE, 'sh', taken], { ...(tools.stdin === undefined ? {} : { stdin: tools.stdin }), signal });
    } catch (error) {
      await node.run(['rm', '-f', '--', taken], { timeoutMs: FORGET_MS }).catch(() => undefined);
      throw error;
    }
    await node.run(['mv', '-fT', '--', taken, to.path], { signal });
    return;
  }
  if (to.folder && !intoFolder) throw notAFolder(`${node.name}:${to.path}`);
  const [folder, name] = intoFolder ? [to.path, basename(source)] : [posix.dirname(to.path), posix.basename(to.path)];
  await requireFolderOn(node, folder, signal);
  await node.unpack(tools.tar.write(entriesOf(source, name, skip(tools))), folder, signal);
}

async function copyDown({ from, to }: Extract<Copy, { readonly way: 'down' }>, node: NodeHandle, tools: CopyTools): Promise<void> {
  const { signal } = tools;
  // Also follows a link that is named itself.
  const found = await node.run(['realpath', '-e', '--', from.path], { accept: [NO], signal });
  const source = found.stdout.replace(/\n$/, '');
  if (found.exitCode !== 0 || source === '/') throw notFound(`${node.name}:${from.path}`);
  if (to === undefined) {
    if (await isFolderOn(node, source, signal)) {
      throw new KvciError('usage', 'bad-path', `${node.name}:${from.path} is a folder: only a file goes to standard output`);
    }
    await node.run(['cat', '--', source], { stdout: tools.stdout, signal });
    return;
  }
  const place = resolve(tools.cwd, to);
  const into = await stat(place).catch(absent);
  if (into?.isDirectory() !== true && to.endsWith('/')) throw notAFolder(place);
  const target = into?.isDirectory() === true ? join(place, posix.basename(from.path)) : place;
  const parent = await stat(dirname(target)).catch(absent);
  if (parent?.isDirectory() !== true) throw notAFolder(dirname(target));
  await unpackInto(tools.tar.read(await node.pack(source, signal), { complete: true }), target, skip(tools));
}

function skip({ events }: CopyTools): (path: string) => void {
  return (path) => {
    events({ type: 'problem', level: 'warning', message: `${path} is not copied: it is neither a file, a folder nor a link` });
  };
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(absent)) !== undefined;
}

async function isFolderOn(node: NodeHandle, path: string, signal: AbortSignal): Promise<boolean> {
  return (await node.run(['test', '-d', path], { accept: [NO], signal })).exitCode === 0;
}

async function requireFolderOn(node: NodeHandle, path: string, signal: AbortSignal): Promise<void> {
  if (!(await isFolderOn(node, path, signal))) throw notAFolder(`${node.name}:${path}`);
}

function notAFolder(where: string): KvciError {
  return new KvciError('notFoundOrExists', 'not-a-folder', `there is no folder ${where}`, { facts: { path: where } });
}

function notFound(where: string): KvciError {
  return new KvciError('notFoundOrExists', 'path-not-found', `there is no file or folder ${where}`, { facts: { path: where } });
}

function absent(error: unknown): undefined {
  if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
  throw error;
}
