import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { KvciError } from '../core/errors.ts';
import type { Step, StepContext } from '../core/plan.ts';
import { digestFile } from '../host/files.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ArtifactStore } from '../host/types.ts';
import type { GoClient } from './go-client.ts';
import { mainInputs, mainSource, type ProgramSources, writeModuleFolder } from './go-module-folder.ts';
import { goModuleComponents } from './go-version.ts';
import type { ModuleFiles } from './modules-lock.ts';
import { builtName, goBuildArguments, type ProgramGroup, tagArguments } from './program-groups.ts';
import type { Architecture, PayloadComponent, PayloadVersions } from './types.ts';

const GO_PROGRAMS_KIND = 'go-programs';

/** Raise when a change of this file changes the bytes of a program. */
const BUILD_VERSION = 1;

const factsSchema = z.object({
  programs: z.record(z.string(), z.object({ digest: digestSchema, size: z.number() })),
  components: z.array(z.object({ purl: z.string(), name: z.string(), version: z.string() })),
});

export interface GoProgram {
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
}

/** The built programs of one group, in the store. */
export interface GoPrograms {
  readonly programs: ReadonlyMap<string, GoProgram>;
  readonly components: readonly PayloadComponent[];
}

export interface ProgramsRequest {
  readonly group: ProgramGroup;
  readonly files: ModuleFiles;
  /** Go toolchain, `1.26.8`. */
  readonly toolchain: string;
  readonly architecture: Architecture;
  readonly versions: PayloadVersions;
}

export interface ProgramsParts {
  readonly go: GoClient;
  readonly store: ArtifactStore;
  readonly sources: ProgramSources;
}

export function programsKey(request: ProgramsRequest, sources: ProgramSources): Digest {
  const { group } = request;
  return digestOf({
    version: BUILD_VERSION,
    builds: group.builds.map(({ programs, tags }) => ({ programs, tags })),
    variables: group.variables,
    goMod: request.files.goMod,
    goSum: request.files.goSum,
    toolchain: request.toolchain,
    architecture: request.architecture,
    main: mainInputs(group.name, sources),
  });
}

export async function findPrograms(request: ProgramsRequest, parts: ProgramsParts): Promise<GoPrograms | undefined> {
  const artifact = await parts.store.find(GO_PROGRAMS_KIND, programsKey(request, parts.sources));
  return artifact === undefined ? undefined : readPrograms(artifact);
}

/** The step that builds a group's programs, or finds them built. */
export function programsStep(request: ProgramsRequest, parts: ProgramsParts): Step<GoPrograms> {
  const names = request.group.builds.flatMap((build) => Object.keys(build.programs));
  const title = `Go programs ${names.join(', ')}`;
  return {
    id: `payload.${request.group.name}`,
    title,
    why: 'not built from these modules yet',
    find: () => findPrograms(request, parts),
    make: async (context) =>
      readPrograms(
        await parts.store.make({
          kind: GO_PROGRAMS_KIND,
          key: programsKey(request, parts.sources),
          title: `Go programs of ${versionedName(request)}, ${request.architecture}: ${names.join(', ')}`,
          inputs: {
            group: request.group.name,
            versions: request.versions,
            toolchain: request.toolchain,
            architecture: request.architecture,
          },
          signal: context.signal,
          onWait: () => {
            context.output('another kvci builds the same programs; waiting for it');
          },
          build: (folder) => buildPrograms(request, parts, folder, context),
        }),
      ),
  };
}

/** `Kubernetes 1.36.3`, `etcd 3.6.8 for Kubernetes 1.36.3` */
function versionedName({ group: { name }, versions }: ProgramsRequest): string {
  const kubernetes = `Kubernetes ${versions.kubernetes}`;
  return name === 'kubernetes' ? kubernetes : `${name} ${versions[name] ?? ''} for ${kubernetes}`;
}

async function buildPrograms(request: ProgramsRequest, parts: ProgramsParts, folder: string, context: StepContext): Promise<unknown> {
  const { group, toolchain, architecture } = request;
  const { signal } = context;
  const setting = { toolchain, architecture };
  const module = join(folder, 'module');
  await writeModuleFolder(module, request.files, await mainSource(group.name, request.versions, parts.sources, parts.go, signal));
  // Loading all packages downloads their modules, several at a time, and tells how many there are to compile.
  const packages = new Set<string>();
  for (const build of group.builds) {
    const args = ['list', '-deps', ...tagArguments(build.tags), ...Object.values(build.programs)];
    const { stdout } = await parts.go.run(args, setting, { cwd: module, signal });
    for (const line of stdout.split('\n')) if (line !== '') packages.add(`${line} ${build.tags.join()}`);
  }
  let compiled = 0;
  const bin = join(folder, 'bin');
  const programs: Record<string, { digest: Digest; size: number }> = {};
  await mkdir(bin);
  for (const build of group.builds) {
    const output = join(folder, 'out');
    await mkdir(output);
    await parts.go.run(goBuildArguments({ build, variables: group.variables, output }), setting, {
      cwd: module,
      signal,
      onLine: (line, stream) => {
        // `go build -v` names a package when it compiles it; what is in Go's build cache stays unnamed.
        if (stream === 'stderr' && /^[\w./-]+$/.test(line)) compiled += 1;
        context.progress(Math.min(compiled, packages.size), packages.size, 'items', line);
      },
    });
    for (const [name, importPath] of Object.entries(build.programs)) {
      const path = join(bin, name);
      await rename(join(output, builtName(importPath)), path);
      await chmod(path, 0o755);
      programs[name] = await digestFile(path);
    }
    await rm(output, { recursive: true });
  }
  const { stdout } = await parts.go.run(['version', '-m', bin], {}, { signal });
  await rm(module, { recursive: true });
  return { programs, components: goModuleComponents(stdout) };
}

function readPrograms(artifact: Artifact): GoPrograms {
  const facts = factsOf(artifact, factsSchema);
  return {
    programs: new Map(Object.entries(facts.programs).map(([name, fact]) => [name, { path: join(artifact.path, 'bin', name), ...fact }])),
    components: facts.components,
  };
}

/** @throws KvciError `no-program` (our bug) */
export function program(groups: readonly GoPrograms[], name: string): GoProgram {
  const found = groups.map((group) => group.programs.get(name)).find((one) => one !== undefined);
  if (found !== undefined) return found;
  throw new KvciError('bug', 'no-program', `no program group builds ${name}`);
}
