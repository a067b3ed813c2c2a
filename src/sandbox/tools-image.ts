import { join } from 'node:path';
import { z } from 'zod';

import { type Digest, digestOf, shortDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { Event } from '../core/events.ts';
import type { Step, StepContext } from '../core/plan.ts';
import type { TemplateSources } from '../core/template.ts';
import type { Artifact, ArtifactStore } from '../host/types.ts';
import { packageSetKey } from './debian-repository.ts';
import { packageSetSchema } from './debian-schema.ts';
import type { DebianPackageSet } from './debian-types.ts';
import { toolsContainerfile } from './tools-containerfile.ts';
import { packagesOf, TOOLS_DPKG_OPTIONS, TOOLS_SUITE } from './tools-packages.ts';

/** Artifact kind: a folder with the tree in `root`. */
export const TOOLS_KIND = 'tools';

/** Grows when the same packages give another tree. */
const LAYOUT = 1;

/** One way to make the tools image of Debian packages: with the host's mmdebstrap, or in an engine. */
export interface ToolsMaker {
  /** The exact packages that a new tools image has. Asks the network. */
  resolve(wanted: readonly string[], context: StepContext): Promise<DebianPackageSet>;
  /**
   * Makes `<folder>/root`, the tree, all of whose files belong to whoever runs kvci.
   *
   * @throws KvciError `package-not-served` when a package of the set can be had no more
   */
  make(set: DebianPackageSet, folder: string, context: StepContext): Promise<void>;
}

export interface ToolsParts {
  readonly store: ArtifactStore;
  readonly maker: ToolsMaker;
  /** Of `containerfiles/`. */
  readonly containerfiles: TemplateSources;
  readonly architecture: string;
  /** What `kvci.lock` pins; without it the newest tools image that is here, else a new one. */
  readonly locked?: DebianPackageSet;
  readonly note: (event: Event) => void;
}

/** A tools image that is there. */
export interface Tools {
  /** The folder that is the root of sandboxes. */
  readonly tree: string;
  /** Tells one tools image from every other: part of the key of whatever is made with it. */
  readonly key: Digest;
  /** What it is made of; unknown of a published image, which its digest names. */
  readonly set?: DebianPackageSet;
}

const factsSchema = z.object({ recipe: z.string(), set: packageSetSchema });

/** The step that finds or makes the tools image. */
export function toolsStep(parts: ToolsParts): Step<Tools> {
  const wanted = packagesOf(toolsContainerfile(parts.containerfiles, { architecture: parts.architecture }));
  const recipe = digestOf({
    layout: LAYOUT,
    suite: TOOLS_SUITE,
    architecture: parts.architecture,
    dpkgOptions: TOOLS_DPKG_OPTIONS,
    wanted,
  });
  const keyOf = (set: DebianPackageSet): Digest => digestOf({ recipe, packages: packageSetKey(set) });
  const { locked } = parts;

  const make = (set: DebianPackageSet, context: StepContext): Promise<Artifact> =>
    parts.store.make({
      kind: TOOLS_KIND,
      key: keyOf(set),
      inputs: { recipe, packages: set.packages.length },
      title: `tools image ${shortDigest(keyOf(set))}`,
      signal: context.signal,
      onWait: () => {
        context.output('another kvci makes it: waiting');
      },
      build: async (folder) => {
        await parts.maker.make(set, folder, context);
        return { recipe, set };
      },
    });

  return {
    id: 'tools',
    title: 'tools image',
    why: locked === undefined ? 'there is none yet' : 'the locked one is not here',
    find: async () => {
      const artifact = locked === undefined ? await newest(parts.store, recipe) : await parts.store.find(TOOLS_KIND, keyOf(locked));
      return artifact === undefined ? undefined : toolsOf(artifact);
    },
    make: async (context) => {
      if (locked !== undefined) {
        try {
          return toolsOf(await make(locked, context));
        } catch (error) {
          if (!(error instanceof KvciError) || error.code !== 'package-not-served') throw error;
          const hint = 'Nothing to do: the tools image is no part of what is built with it.';
          parts.note({ type: 'problem', level: 'note', message: `the tools image moves on: ${error.message}`, hint });
        }
      }
      return toolsOf(await make(await parts.maker.resolve(wanted, context), context));
    },
  };
}

async function newest(store: ArtifactStore, recipe: Digest): Promise<Artifact | undefined> {
  const made = (await store.list())
    .filter(({ kind, record }) => kind === TOOLS_KIND && factsSchema.safeParse(record.facts).data?.recipe === recipe)
    .toSorted((a, b) => (a.record.madeAt < b.record.madeAt ? 1 : -1));
  const [latest] = made;
  return latest === undefined ? undefined : store.find(TOOLS_KIND, latest.key);
}

function toolsOf(artifact: Artifact): Tools {
  const { set } = factsSchema.parse(artifact.record.facts);
  return { tree: join(artifact.path, 'root'), key: artifact.key, set };
}
