import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type Digest, digestOf, shortDigest } from '../core/digest.ts';
import type { Step } from '../core/plan.ts';
import type { TemplateSources } from '../core/template.ts';
import type { Artifact, ArtifactStore, CommandRunner } from '../host/types.ts';
import { readImageAt } from '../oci/image.ts';
import { createLayout, type LayoutTools } from '../oci/layout.ts';
import { parseReference } from '../oci/reference.ts';
import { pullImage } from '../oci/registry-transfer.ts';
import type { RegistryClient } from '../oci/registry.ts';
import { toolsContainerfile } from './tools-containerfile.ts';
import { TOOLS_KIND, type Tools } from './tools-image.ts';
import { packagesOf } from './tools-packages.ts';
import { checkTools, unpackTree } from './tools-tree.ts';

/** Raise when the same image gives another tree. */
const LAYOUT = 1;

export interface PublishedParts {
  readonly store: ArtifactStore;
  readonly layoutTools: LayoutTools;
  readonly registry: () => Promise<RegistryClient>;
  /** Has `tar`. */
  readonly commands: CommandRunner;
  readonly containerfiles: TemplateSources;
  readonly architecture: string;
  readonly ref: string;
  readonly digest: Digest;
}

/** The step that finds a published tools image or pulls it, by digest alone: a tag may move. */
export function publishedToolsStep(parts: PublishedParts): Step<Tools> {
  const { ref, digest, architecture } = parts;
  const key = digestOf({ image: digest, architecture, layout: LAYOUT });
  const toolsOf = (artifact: Artifact): Tools => ({ tree: join(artifact.path, 'root'), key: artifact.key });
  return {
    id: 'tools',
    title: 'tools image',
    why: `${ref} is not here`,
    find: async () => {
      const found = await parts.store.find(TOOLS_KIND, key);
      return found === undefined ? undefined : toolsOf(found);
    },
    make: async (context) => {
      const { signal } = context;
      const made = await parts.store.make({
        kind: TOOLS_KIND,
        key,
        inputs: { ref, digest, architecture },
        title: `tools image ${shortDigest(digest)}, pulled`,
        signal,
        onWait: () => {
          context.output('another kvci pulls it: waiting');
        },
        build: async (folder) => {
          const layout = await createLayout(join(folder, 'pulled/layout'), parts.layoutTools);
          const { registry, repository } = parseReference(ref);
          const descriptor = await pullImage(
            await parts.registry(),
            layout,
            { registry, repository, digest },
            {
              architecture,
              signal,
              onProgress: (done, total) => {
                context.progress(done, total, 'bytes', 'layers');
              },
            },
          );
          const root = join(folder, 'root');
          await unpackTree(layout, await readImageAt(layout, descriptor, architecture), root, parts.commands, signal);
          await rm(join(folder, 'pulled'), { recursive: true });
          await checkTools(root, packagesOf(toolsContainerfile(parts.containerfiles, { architecture })), ref);
          return { ref, digest };
        },
      });
      return toolsOf(made);
    },
  };
}
