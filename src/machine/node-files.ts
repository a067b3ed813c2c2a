import { Buffer } from 'node:buffer';
import { PassThrough, Readable } from 'node:stream';
import { basename, dirname } from 'node:path';

import type { Tar, TarEntryWithContent } from '../host/tar.ts';
import type { CommandRunner } from '../host/types.ts';
import type { NodeFile, NodeHandle } from './types.ts';

/** What a file is called until it is whole. */
const SUFFIX = '.kvci-new';

/** Unpacks all, and gives each its name when all are there. */
const WRITE = `tar --extract --no-overwrite-dir --directory=/ --file=- && for path; do mv -fT -- "$path${SUFFIX}" "$path" || exit; done`;

/**
 * Files both ways by the node's own tar: where a file is to lie may be in memory or on a volume, which an engine's archives do
 * not reach, and a VM has no engine.
 */
export function nodeFiles(runner: CommandRunner, tar: Tar): Pick<NodeHandle, 'write' | 'unpack' | 'pack'> {
  return {
    write: async (files, signal) => {
      const [first, ...others] = files.map(({ path }) => path);
      if (first === undefined) return;
      await runner.run(['sh', '-c', WRITE, 'sh', first, ...others], { stdin: tar.write(files.map(entryOf)), ...withSignal(signal) });
    },
    unpack: async (archive, folder, signal) => {
      await runner.run(['tar', '--extract', `--directory=${folder}`, '--file=-'], { stdin: archive, ...withSignal(signal) });
    },
    pack: (path, signal) => {
      const output = new PassThrough();
      const argv = ['tar', '--create', `--directory=${dirname(path)}`, '--file=-', '--', basename(path)] as const;
      runner.run(argv, { stdout: output, ...withSignal(signal) }).then(
        () => output.end(),
        (error: unknown) => output.destroy(error instanceof Error ? error : new Error(String(error))),
      );
      return Promise.resolve(output);
    },
  };
}

function withSignal(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function entryOf({ path, content, mode }: NodeFile): TarEntryWithContent {
  const bytes = Buffer.from(content);
  return {
    path: `${path.replace(/^\/+/, '')}${SUFFIX}`,
    type: 'file',
    mode: mode ?? 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    size: bytes.length,
    xattrs: {},
    content: () => Readable.from([bytes]),
  };
}
