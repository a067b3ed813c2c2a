import type { Digest } from '../core/digest.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { ArtifactStore, ContainerEngine, Directories, Ledger, Locks } from '../host/types.ts';
import type { Distribution } from '../distro/types.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { RegistryClient } from '../oci/registry.ts';
import type { Architecture, PayloadSource, PayloadSourceName } from '../payload/types.ts';
import type { DebianHost } from '../sandbox/debian-resolve.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import type { Tools } from '../sandbox/tools-image.ts';
import type { Artifact } from '../host/types.ts';
import type { NodeSources } from './sources.ts';

/** What building images needs of the world; `wiring.ts` provides it, each part made when it is first asked for. */
export interface ImagePorts {
  readonly store: ArtifactStore;
  readonly locks: Locks;
  readonly ledger: Ledger;
  readonly directories: Directories;
  /** kvci's own image store: the truth about images. */
  layout(): Promise<ImageLayout>;
  /** A layout of its own in a folder, made empty when nothing is there. */
  layoutIn(folder: string): Promise<ImageLayout>;
  /** The tools image that sandboxes stand on. */
  readonly tools: {
    /** What it is made of, before dependencies. */
    readonly wanted: readonly string[];
    readonly architecture: Architecture;
    /** The published image that it is, where one is named; nothing of it is resolved then. */
    readonly published: { readonly ref: string; readonly digest: Digest } | undefined;
    /** Names the exact packages; counts only before the first use. */
    pin(set: DebianPackageSet | undefined): void;
    use(): Promise<Tools>;
  };
  /** A place where mmdebstrap runs over the tools image, the cache at the same path inside. */
  debian(signal: AbortSignal, onLine?: (line: string) => void): Promise<DebianHost & AsyncDisposable>;
  /** The locked packages by digest, from the cache or the archive. */
  debianRepository(set: DebianPackageSet, host: DebianHost, onProgress: (done: number, total: number) => void): Promise<Artifact>;
  /** Instead of the mirrors that mmdebstrap knows. */
  readonly debianMirrors: readonly string[] | undefined;
  engine(choice: EngineChoice, run: RunContext): Promise<ContainerEngine>;
  /** An engine of this host that runs; undefined where there is none. None is started. */
  runningEngine(choice: EngineChoice): Promise<(Pick<ContainerEngine, 'info' | 'imageId' | 'save'> & AsyncDisposable) | undefined>;
  /** `path` is the folder of source `dir`. */
  payloadSource(name: PayloadSourceName, path: string | undefined, distribution: Distribution): Promise<PayloadSource>;
  registry(): Promise<RegistryClient>;
  nodeSources(): Promise<NodeSources>;
  readonly proxyBuildArgs: Readonly<Record<string, string>>;
  readonly hostArchitecture: Architecture;
  readonly kvci: {
    readonly version: string;
    /** Commit of kvci's own sources, with `-dirty` where they were changed since; undefined where nobody knows. */
    revision(): Promise<string | undefined>;
  };
}
