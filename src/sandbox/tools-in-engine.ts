import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';

import { type Digest, hexOf } from '../core/digest.ts';
import type { CommandRunner, ContainerEngine, Directories, Locks } from '../host/types.ts';

export interface ToolsInEngineParts {
  readonly engine: Pick<ContainerEngine, 'hasImage' | 'importRoot'>;
  /** Has `tar`. */
  readonly commands: CommandRunner;
  readonly directories: Pick<Directories, 'runtime'>;
  readonly locks: Locks;
  /** Called once before it is copied. */
  readonly onCopy: (name: string) => void;
}

/** What an engine calls a tools image: by its key, so that it is copied once. */
export function toolsName(key: Digest): string {
  return `localhost/kvci/tools:${hexOf(key)}`;
}

/** The name of a tools image in an engine, to which it is copied first where it is not there. */
export async function toolsInEngine(
  parts: ToolsInEngineParts,
  { tree, key }: { readonly tree: string; readonly key: Digest },
  signal: AbortSignal,
): Promise<string> {
  const { engine } = parts;
  const name = toolsName(key);
  if (await engine.hasImage(name)) return name;
  await using _lock = await parts.locks.exclusive(join(parts.directories.runtime, `tools-${hexOf(key)}.lock`), { signal });
  if (await engine.hasImage(name)) return name;
  parts.onCopy(name);
  await engine.importRoot(tarOf(tree, parts.commands, signal), name, signal);
  return name;
}

/** A tree as a tar: everything in it is root's, whoever it belongs to on the host. */
function tarOf(tree: string, commands: CommandRunner, signal: AbortSignal): Readable {
  const output = new PassThrough();
  commands.run([...TAR, `--directory=${tree}`, '.'], { stdout: output, signal }).then(
    () => output.end(),
    (error: unknown) => output.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return output;
}

const TAR = ['tar', '--create', '--file=-', '--numeric-owner', '--owner=0', '--group=0'] as const;
