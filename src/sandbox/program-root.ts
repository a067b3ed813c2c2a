import { PassThrough, type Readable } from 'node:stream';

import type { Sandboxes } from './types.ts';

/**
 * Writes programs with the libraries that they are linked to as a tar, files where links are: a root that holds nothing else. What
 * libraries load by themselves is not found; programs that need such are not for this.
 */
const WRITE = `
set -e
linked=$(ldd "$@")
files=$(echo "$linked" | sed -n 's|^[^/]*\\(/[^ :]*\\) (0x.*|\\1|p' | sort -u)
exec tar --create --dereference --hard-dereference --numeric-owner --owner=0 --group=0 --file=- --directory=/ --transform='s|^/||' -P -- "$@" $files
`;

/**
 * The root of a container that holds some programs of the tools image.
 *
 * @param programs absolute paths in it
 */
export async function programRoot(sandboxes: Sandboxes, programs: readonly string[], signal: AbortSignal): Promise<Readable> {
  const sandbox = await sandboxes.start({ name: 'programs', binds: [], network: 'private', cgroups: false, signal });
  const output = new PassThrough();
  sandbox
    .run(['sh', '-c', WRITE, 'sh', ...programs], { stdout: output, signal })
    .then(
      () => output.end(),
      (error: unknown) => output.destroy(error instanceof Error ? error : new Error(String(error))),
    )
    .finally(() => sandbox[Symbol.asyncDispose]())
    // How it ended is told by the stream.
    .catch(() => undefined);
  return output;
}
