import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { z } from 'zod';

import { type Digest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { KvciError } from '../core/errors.ts';
import type { StepContext } from '../core/plan.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Tar } from '../host/tar.ts';
import type { ArtifactStore, Downloads } from '../host/types.ts';
import { type LockedFile } from './release-lock.ts';
import { ALL_COMPONENTS, type ReleaseServers } from './release-servers.ts';
import type { PayloadFile } from './types.ts';

const DOWNLOAD_KIND = 'download';

export interface FileParts {
  readonly downloads: Downloads;
  readonly store: ArtifactStore;
  readonly tar: Tar;
  readonly servers: ReleaseServers;
}

/**
 * A locked file on this host, downloaded once and kept by its digest.
 *
 * @throws KvciError `checksum-mismatch`, `not-served`, `offline`, `download-failed`
 */
export async function fetchLocked(
  file: LockedFile,
  parts: FileParts,
  signal: AbortSignal,
  onProgress?: (done: number) => void,
): Promise<string> {
  const name = basename(file.path);
  const url = `${parts.servers[file.server]}${file.path}`;
  const found = await parts.store.find(DOWNLOAD_KIND, file.sha256);
  const artifact =
    found ??
    (await parts.store.make({
      kind: DOWNLOAD_KIND,
      key: file.sha256,
      title: name,
      inputs: { path: file.path, sha256: file.sha256 },
      signal,
      build: async (folder) => {
        const progress = onProgress === undefined ? {} : { onProgress };
        await parts.downloads.file({ url, sha256: file.sha256, signal, ...progress }, join(folder, name));
        return { name };
      },
    }));
  // Files of one content may have several names; the first one to come named the file.
  const { name: stored } = factsOf(artifact, z.object({ name: z.string() }));
  return join(artifact.path, stored);
}

/** A file of a payload as an artifact keeps it: its path in the node and below the artifact's folder alike. */
export const storedFileSchema = z.object({ path: z.string(), mode: z.number(), digest: digestSchema, size: z.number() });
export type StoredFile = z.output<typeof storedFileSchema>;

export function payloadFile(folder: string, file: StoredFile): PayloadFile {
  return { ...file, source: join(folder, file.path) };
}

/** Downloads all files and puts what belongs into a node below `folder`, by its path in the node; sorted by path. */
export async function placeFiles(
  files: readonly LockedFile[],
  folder: string,
  parts: FileParts,
  context: StepContext,
): Promise<StoredFile[]> {
  const stored: StoredFile[] = [];
  let done = 0;
  for (const file of files) {
    const component = ALL_COMPONENTS.find(({ name }) => name === file.component);
    if (component === undefined)
      throw new KvciError('usage', 'lock-broken', `the lock names "${file.component}", which kvci does not know`);
    context.progress(done, files.length, 'items', `${file.component} ${file.version}`);
    const source = await fetchLocked(file, parts, context.signal);
    const { place } = component;
    if (typeof place === 'string') stored.push(await store(createReadStream(source), folder, place));
    else stored.push(...(await extract(source, folder, place, parts.tar)));
    done += 1;
  }
  return stored.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

async function extract(archive: string, folder: string, place: (entry: string) => string | undefined, tar: Tar): Promise<StoredFile[]> {
  const stored: StoredFile[] = [];
  const unpacked = createGunzip();
  const read = pipeline(createReadStream(archive), unpacked);
  read.catch(() => undefined);
  for await (const entry of tar.read(unpacked)) {
    const path = entry.type === 'file' ? place(entry.path) : undefined;
    if (path !== undefined) stored.push(await store(entry.content(), folder, path));
  }
  await read;
  if (stored.length > 0) return stored;
  throw new KvciError('failed', 'archive-unexpected', `${basename(archive)} holds nothing that belongs into a node`);
}

/** All files of releases are programs. */
const MODE = 0o755;

async function store(content: AsyncIterable<Uint8Array>, folder: string, path: string): Promise<StoredFile> {
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true });
  const { digest, size } = await writeHashed(content, target);
  return { path, mode: MODE, digest, size };
}

async function writeHashed(
  content: AsyncIterable<Uint8Array>,
  target: string,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  await pipeline(
    content,
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        size += chunk.byteLength;
        yield chunk;
      }
    },
    createWriteStream(target, { mode: MODE, flags: 'wx' }),
  );
  return { digest: `sha256:${hash.digest('hex')}`, size };
}
