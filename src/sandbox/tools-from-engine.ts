import { createReadStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { shortDigest } from '../core/digest.ts';
import { KvciError, throwIfCancelled } from '../core/errors.ts';
import type { StepContext } from '../core/plan.ts';
import type { TemplateSources } from '../core/template.ts';
import type { TarEntryWithContent } from '../host/tar.ts';
import type { ArtifactStore, CommandRunner, ContainerEngine, Downloads } from '../host/types.ts';
import { loadArchive } from '../oci/archive-load.ts';
import { readImageAt } from '../oci/image.ts';
import { createLayout, type LayoutTools } from '../oci/layout.ts';
import { parseReference } from '../oci/reference.ts';
import type { RegistryClient } from '../oci/registry.ts';
import { fileOf, gatherPackages, packageSetKey } from './debian-repository.ts';
import { parseArchives, parseUris } from './debian-resolve.ts';
import type { DebianArchives, DebianPackageSet } from './debian-types.ts';
import { sourceLines, TOOLS_BASE, toolsContainerfile } from './tools-containerfile.ts';
import type { ToolsMaker } from './tools-image.ts';
import { TOOLS_SUITE } from './tools-packages.ts';
import { unpackTree } from './tools-tree.ts';

export interface FromEngineParts {
  readonly engine: ContainerEngine;
  readonly registry: () => Promise<Pick<RegistryClient, 'resolve' | 'retry'>>;
  readonly store: Pick<ArtifactStore, 'list'>;
  readonly downloads: Downloads;
  readonly layoutTools: LayoutTools;
  /** Has `tar`. */
  readonly commands: CommandRunner;
  readonly containerfiles: TemplateSources;
  readonly architecture: string;
  /** Instead of the sources of the base image. */
  readonly mirrors?: readonly string[];
  /** The host's proxies, for apt. */
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Asks nothing of the network: throws where that would be needed. */
  readonly online: () => void;
}

const CONTAINERFILE = 'Containerfile';

/** Folder of the build context that holds the packages, and where the build has it for a while. */
const PACKAGES = 'packages';

/**
 * Makes the tools image in a container engine: where mmdebstrap is not at hand, on a laptop without Debian's tools. The engine's
 * apt tells which packages it takes; kvci downloads them as it does everywhere, checked by the digests of the set, and the engine
 * installs them without a network. So a lock pins the same packages whichever way the tools image is made.
 */
export function toolsFromEngine(parts: FromEngineParts): ToolsMaker {
  const { engine, architecture, layoutTools } = parts;
  const sources = sourceLines(parts.mirrors ?? []);
  // Where the last resolving found the packages; a locked set has to ask.
  let known: DebianArchives | undefined;

  const build = async (
    name: string,
    containerfile: string,
    files: readonly TarEntryWithContent[],
    noCache: boolean,
    context: StepContext,
  ): Promise<Built> => {
    const tag = `localhost/kvci/tools:${name}`;
    const lines: string[] = [];
    await engine.build({
      context: layoutTools.tar.write([textEntry(CONTAINERFILE, containerfile), ...files]),
      containerfile: CONTAINERFILE,
      tag,
      buildArgs: parts.buildArgs,
      noCache,
      platform: `linux/${architecture}`,
      signal: context.signal,
      onLine: (line) => {
        lines.push(line);
        context.output(line);
      },
    });
    return { tag, lines, [Symbol.asyncDispose]: () => engine.remove(tag) };
  };

  const ask = async (context: StepContext): Promise<{ readonly answer: string; readonly archives: DebianArchives }> => {
    parts.online();
    const image = await baseImage(parts, context);
    // What apt said yesterday is no answer.
    const containerfile = toolsContainerfile(parts.containerfiles, { architecture, image, sources });
    await using built = await build('packages', containerfile, [], true, context);
    const answer = built.lines.join('\n');
    return { answer, archives: (known = parseArchives(answer)) };
  };

  return {
    resolve: async (wanted, context) => {
      const { answer, archives } = await ask(context);
      return { suite: TOOLS_SUITE, architecture, wanted: [...new Set(wanted)].toSorted(), packages: parseUris(answer, archives) };
    },
    make: async (set, folder, context) => {
      const work = join(folder, 'work');
      const packages = join(work, PACKAGES);
      await mkdir(packages, { recursive: true });
      await gatherPackages(packages, set, {
        store: parts.store,
        downloads: parts.downloads,
        archives: async () => known ?? (await ask(context)).archives,
        signal: context.signal,
        onProgress: (done, total) => {
          context.progress(done, total, 'bytes', 'Debian packages');
        },
      });
      const image = await baseImage(parts, context);
      const containerfile = toolsContainerfile(parts.containerfiles, { architecture, image, packages: PACKAGES });
      const name = shortDigest(packageSetKey(set));
      await using built = await build(name, containerfile, await packageEntries(packages, set), false, context);
      context.output('taking the tools image out of the engine');
      const layout = await createLayout(join(work, 'layout'), layoutTools);
      const [saved] = await loadArchive(layout, await engine.save(built.tag, context.signal));
      if (saved === undefined) throw new KvciError('failed', 'engine-archive', `the engine saved no image under ${built.tag}`);
      await unpackTree(layout, await readImageAt(layout, saved.descriptor), join(folder, 'root'), parts.commands, context.signal);
      await rm(work, { recursive: true });
    },
  };
}

interface Built extends AsyncDisposable {
  readonly tag: string;
  readonly lines: readonly string[];
}

/** What FROM names: by digest where a registry answers, else the image of that name that the engine has. */
async function baseImage({ engine, registry }: FromEngineParts, context: StepContext): Promise<string> {
  const reference = parseReference(TOOLS_BASE);
  try {
    const client = await registry();
    const { digest } = await client.retry('the base image', () => client.resolve(reference, context.signal), context.signal);
    return `${reference.registry}/${reference.repository}@${digest}`;
  } catch (error) {
    throwIfCancelled(context.signal);
    if (!(error instanceof KvciError) || !(await engine.hasImage(TOOLS_BASE))) throw error;
    context.output(`${error.message}: building on the ${TOOLS_BASE} that the engine has`);
    return TOOLS_BASE;
  }
}

async function packageEntries(folder: string, set: DebianPackageSet): Promise<TarEntryWithContent[]> {
  const files = await Promise.all(
    set.packages.map(async (wanted) => {
      const path = join(folder, fileOf(wanted));
      const { size } = await stat(path);
      return entry(`${PACKAGES}/${fileOf(wanted)}`, { size, content: () => createReadStream(path) });
    }),
  );
  return [entry(PACKAGES, { type: 'directory', mode: 0o755 }), ...files];
}

function textEntry(path: string, text: string): TarEntryWithContent {
  const bytes = Buffer.from(text);
  return entry(path, { size: bytes.length, content: () => Readable.from([bytes]) });
}

/** A file of root's, of no time, empty unless said otherwise. */
function entry(path: string, more: Partial<TarEntryWithContent>): TarEntryWithContent {
  const content = (): Readable => Readable.from([]);
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: 0, xattrs: {}, content, ...more };
}
