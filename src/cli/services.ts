import type { AddRequest, AddResult } from '../cluster/add-nodes.ts';
import type { ClusterStatus, UnreadableCluster } from '../cluster/clusters.ts';
import type { DownResult } from '../cluster/down.ts';
import type { ClusterOptions } from '../cluster/options.ts';
import type { Copy } from '../cluster/copy-paths.ts';
import type { ExposedPort } from '../cluster/exposed.ts';
import type { FoundRuns } from '../cluster/find-runs.ts';
import type { LocalForward } from '../cluster/local-forward.ts';
import type { NodeLoad } from '../cluster/load.ts';
import type { NodeLog } from '../cluster/logs.ts';
import type { RemoveSettings } from '../cluster/remove-node.ts';
import type { StopResult } from '../cluster/stop.ts';
import type { ClusterState } from '../cluster/state.ts';
import type { UpResult } from '../cluster/up.ts';
import type { WrittenBundle } from '../cluster/write-bundle.ts';
import type { Digest } from '../core/digest.ts';
import type { EventSink, PlannedStep } from '../core/events.ts';
import type { RunContext } from '../core/plan.ts';
import type { Secret } from '../core/secrets.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { Disk } from '../disk/build-disk.ts';
import type { DiskSettings } from '../disk/options.ts';
import type { AcquiredImage } from '../image/acquire.ts';
import type { BuildSettings } from '../image/build.ts';
import type { CheckReport, FactGroup } from '../image/check/types.ts';
import type { ImageDifference } from '../image/diff.ts';
import type { ImageSummary } from '../image/images.ts';
import type { ImageInspection } from '../image/inspect.ts';
import type { ImageOptions } from '../image/options.ts';
import type { PreloadedImage } from '../image/preload.ts';
import type { Accelerator, Firmware } from '../machine/qemu/qemu-arguments.ts';
import type { IpFamily, NodeAddresses } from '../machine/types.ts';
import type { Acceleration } from '../machine/vm-options.ts';
import type { SandboxKind } from '../sandbox/types.ts';
import type { Exported } from '../snapshot/export.ts';
import type { ForkRequest } from '../snapshot/fork.ts';
import type { SnapshotRecord } from '../snapshot/record.ts';
import type { RestoreRequest } from '../snapshot/restore.ts';
import type { SaveRequest } from '../snapshot/save.ts';
import type { NodeKind, VerifyReport } from '../verify/types.ts';

/*
 * What the commands need done, as interfaces. `wiring.ts` provides them; a command asks only for the one it uses, so that
 * nothing else is loaded.
 */

export interface Services {
  image(): Promise<ImageService>;
  host(): Promise<HostService>;
  cluster(): Promise<ClusterService>;
  snapshot(): Promise<SnapshotService>;
  verify(): Promise<VerifyService>;
  disk(): Promise<DiskService>;
  boot(): Promise<BootService>;
}

/** What the global flags and kvci.yaml say about the whole run. */
export interface ServiceSettings {
  readonly offline: boolean;
  /** Install what the command at hand needs of the host before it starts. */
  readonly setup: boolean;
  /** Secrets found on the way are added; every text that is shown is masked with them. */
  readonly secrets: Set<Secret>;
  /** Where the events of this process go; whoever keeps them adds a place. */
  readonly sinks: Set<EventSink>;
  /** kvci.yaml, read and checked on first use. */
  config(): Promise<LoadedConfig>;
}

// ---- images ---------------------------------------------------------------------------------------------------------

export interface BuiltImage {
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly kubernetes: string;
  readonly base: string;
  readonly payload: string;
  readonly architecture: string;
  readonly lockFile: string;
  /** True when every step was reused. */
  readonly reused: boolean;
  /** Bytes: all layers as stored, and all files in them. */
  readonly size: { readonly compressed: number; readonly unpacked: number };
  /** Images beside those of the control plane, with the bytes of their layers. */
  readonly preloaded: readonly PreloadedImage[];
}

export interface RenderedImage {
  readonly containerfile: string;
  readonly context: readonly { readonly path: string; readonly mode: number; readonly size: number; readonly digest: Digest }[];
}

export interface LockReport {
  readonly lockFile: string;
  readonly changed: boolean;
  readonly kubernetes: string;
  readonly payload: string;
}

/** A REF is a tag, a digest or its unambiguous beginning. */
export interface ImageService {
  plan(options: ImageOptions, flags: BuildSettings, run: RunContext): Promise<readonly PlannedStep[]>;
  build(options: ImageOptions, flags: BuildSettings, run: RunContext): Promise<BuiltImage>;
  render(options: ImageOptions, flags: BuildSettings, run: RunContext): Promise<RenderedImage>;
  lock(
    options: ImageOptions,
    flags: Pick<BuildSettings, 'lockFile' | 'folder'> & { readonly update: boolean },
    run: RunContext,
  ): Promise<LockReport>;
  /** `refOrLayout` may also be a folder with an OCI layout. */
  check(refOrLayout: string, groups: readonly FactGroup[], run: RunContext): Promise<CheckReport>;
  inspect(ref: string, run: RunContext): Promise<ImageInspection>;
  list(run: RunContext): Promise<readonly ImageSummary[]>;
  /** @throws KvciError `image-not-found` */
  remove(
    refs: readonly string[],
    run: RunContext,
  ): Promise<readonly { readonly digest: Digest; readonly untagged: readonly string[]; readonly removed: boolean }[]>;
  diff(a: string, b: string, run: RunContext): Promise<ImageDifference>;
  /** @throws KvciError `file-exists` */
  save(ref: string, file: string, run: RunContext): Promise<{ readonly digest: Digest; readonly file: string; readonly size: number }>;
  load(file: string, run: RunContext): Promise<readonly ImageSummary[]>;
}

// ---- disks ----------------------------------------------------------------------------------------------------------

/** A disk as it is asked for. */
export interface WantedDisk {
  readonly options: DiskSettings;
  /** Paths of files with public keys. */
  readonly sshKeys: readonly string[];
  /** A tag, a digest or a folder with an OCI layout; or what the image is built of. */
  readonly image: { readonly kind: 'stored'; readonly ref: string } | { readonly kind: 'built'; readonly options: ImageOptions };
}

export interface BuiltDisk extends Disk {
  /** It was there already. */
  readonly reused: boolean;
}

export interface DiskService {
  plan(wanted: WantedDisk, settings: BuildSettings, run: RunContext): Promise<readonly PlannedStep[]>;
  /** @param output where a copy goes, an absolute path @throws KvciError `file-exists`, `folder-missing`, `folder-read-only` */
  build(wanted: WantedDisk, settings: BuildSettings, output: string | undefined, run: RunContext): Promise<BuiltDisk>;
}

// ---- machines of disks ----------------------------------------------------------------------------------------------

/** A disk that is booted to be looked at. */
export interface BootRequest {
  /** A file, or an image whose disk is meant. */
  readonly what: string;
  /** Of the machine. */
  readonly name: string;
  /** Leaves it running. */
  readonly keep: boolean;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  /** Bytes of the machine's own copy; undefined: as large as the disk. */
  readonly diskSize: number | undefined;
  /** Undefined: the kernel beside the disk where it is known, else UEFI. */
  readonly firmware: Firmware | undefined;
  readonly acceleration: Acceleration;
  readonly families: readonly IpFamily[];
  readonly sandbox: SandboxKind;
  /** How long it may take until it answers by SSH. */
  readonly timeoutMs: number;
  /** Where relative paths start. */
  readonly cwd: string;
  /** Of an image that has no disk yet. */
  readonly settings: BuildSettings;
}

export interface BootedMachine {
  readonly name: string;
  readonly accelerator: Accelerator;
  readonly firmware: Firmware;
  readonly addresses: NodeAddresses;
  /** From its start until it answered by SSH; missing when it never did. */
  readonly sshMs?: number;
  readonly running: boolean;
}

export interface ListedMachine {
  readonly name: string;
  readonly source: string;
  readonly createdAt: string;
  readonly keep: boolean;
  readonly running: boolean;
  readonly addresses: NodeAddresses;
}

export interface BootService {
  /**
   * Boots a disk. One that is kept answers by SSH when this does; another one has the caller's terminal until it ends.
   *
   * @throws KvciError `name-taken`, `disk-not-found`, `machine-not-reachable`, and what starting a machine throws
   */
  boot(request: BootRequest, run: RunContext): Promise<BootedMachine>;
  /** Runs a command, or a shell, with the caller's own terminal or pipes. Answers its exit code. */
  enter(name: string, argv: readonly string[], run: RunContext): Promise<number>;
  list(): Promise<readonly ListedMachine[]>;
  /** @throws KvciError `machine-not-found` */
  end(name: string): Promise<void>;
}

// ---- verification ---------------------------------------------------------------------------------------------------

export interface WantedVerification {
  /** The image, or the path of a disk in place of its reference; what the disk is to be where one has to be made. */
  readonly disk: WantedDisk;
  /** Flags that say what a disk to make is like: refused where none is made. */
  readonly diskFlags: readonly string[];
  readonly settings: BuildSettings;
  readonly as: NodeKind;
  /** What machines run in. */
  readonly sandbox: SandboxKind;
  /** Paths, relative to the current folder. */
  readonly factsFile: string | undefined;
  readonly report: string | undefined;
}

export interface VerifyService {
  /** Boots and proves; answers the path of the statement that was written, too. */
  verify(wanted: WantedVerification, cwd: string, run: RunContext): Promise<{ readonly report: VerifyReport; readonly statement?: string }>;
}

// ---- clusters -------------------------------------------------------------------------------------------------------

/** A cluster as it is asked for. */
export interface WantedCluster {
  readonly options: ClusterOptions;
  /** Those of the options that were given. */
  readonly asked: Partial<ClusterOptions>;
  readonly image: { readonly kind: 'stored'; readonly ref: string } | { readonly kind: 'built'; readonly options: ImageOptions };
  /** The image in words; undefined when nothing was said about it. */
  readonly wanted: string | undefined;
}

export interface UpSettings extends BuildSettings {
  readonly keepOnFailure: boolean;
  readonly timeoutMs: number | undefined;
}

/** Without a name the only cluster there is, is meant. */
export interface ClusterService {
  plan(wanted: WantedCluster, settings: UpSettings, run: RunContext): Promise<readonly PlannedStep[]>;
  up(wanted: WantedCluster, settings: UpSettings, run: RunContext): Promise<UpResult>;
  down(name: string | undefined, run: RunContext): Promise<DownResult>;
  stop(name: string | undefined, run: RunContext): Promise<StopResult>;
  start(name: string | undefined, settings: Pick<UpSettings, 'timeoutMs'>, run: RunContext): Promise<UpResult>;
  addNodes(cluster: string | undefined, request: AddRequest, run: RunContext): Promise<AddResult>;
  removeNode(cluster: string | undefined, node: string, settings: RemoveSettings, run: RunContext): Promise<ClusterState>;
  names(): Promise<readonly string[]>;
  status(name: string | undefined, run: RunContext): Promise<ClusterStatus>;
  list(run: RunContext): Promise<readonly (ClusterStatus | UnreadableCluster)[]>;
  kubeconfig(name: string | undefined, run: RunContext): Promise<string>;
  /** Puts the cluster into the user's own kubeconfig and answers its path. */
  mergeKubeconfig(name: string | undefined, run: RunContext): Promise<string>;
  /**
   * Runs a command, or a shell, with the caller's own terminal or pipes, while ports of this host lead to what the node sees. Answers
   * its exit code. Where nothing is to be run, it is ended by being cancelled.
   */
  enter(
    cluster: string | undefined,
    node: string,
    argv: readonly string[] | undefined,
    forwards: readonly LocalForward[],
    run: RunContext,
  ): Promise<number>;
  /** Shows the console of a node on the caller's terminal, or pipes, until somebody leaves it or the node ends. */
  console(cluster: string | undefined, node: string, run: RunContext): Promise<'left' | 'ended'>;
  /** The socket at which the screen of a node is seen. @throws KvciError `no-screen` */
  screen(cluster: string | undefined, node: string, run: RunContext): Promise<string>;
  ports(name: string | undefined): Promise<readonly ExposedPort[]>;
  /** Of one node, or of all. */
  logs(cluster: string | undefined, node: string | undefined, run: RunContext): Promise<readonly NodeLog[]>;
  /** Writes all that tells how a cluster is and came to be into a .tar.gz. */
  bundle(cluster: string | undefined, file: string, run: RunContext): Promise<WrittenBundle>;
  /** What was recorded of a cluster, or of another run. */
  runs(name: string | undefined): Promise<FoundRuns>;
  copy(cluster: string | undefined, request: Copy, cwd: string, run: RunContext): Promise<void>;
  /** Puts images into nodes that run, without a registry. */
  load(cluster: string | undefined, request: LoadRequest, run: RunContext): Promise<LoadReport>;
  /** Runs a command on all nodes at once. */
  exec(cluster: string | undefined, argv: readonly [string, ...string[]], run: RunContext): Promise<readonly NodeOutput[]>;
}

export interface LoadRequest {
  /** References, and paths of archives. */
  readonly words: readonly string[];
  /** Names of nodes; none: all. */
  readonly nodes: readonly string[];
  /** Where images are looked for when kvci's store has them not. */
  readonly engine: EngineChoice;
  /** Where paths start. */
  readonly cwd: string;
}

export interface LoadReport {
  readonly images: readonly (Pick<AcquiredImage, 'name' | 'from'> & { readonly digest: Digest })[];
  readonly nodes: readonly NodeLoad[];
}

export interface NodeOutput {
  readonly node: string;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

// ---- snapshots of clusters ------------------------------------------------------------------------------------------

export interface StoredSnapshot {
  readonly record: SnapshotRecord;
  /** Bytes on disk. */
  readonly size: number;
}

/** One that cannot be read hides none of the others. */
export type ListedSnapshot = StoredSnapshot | { readonly name: string; readonly problem: string };

/** Without the name of a cluster the only one there is, is meant. */
export interface SnapshotService {
  save(cluster: string | undefined, wanted: SaveRequest, run: RunContext): Promise<SnapshotRecord>;
  list(): Promise<readonly ListedSnapshot[]>;
  inspect(name: string): Promise<StoredSnapshot>;
  /** @throws KvciError `snapshot-not-found` before any is removed */
  remove(names: readonly string[], run: RunContext): Promise<void>;
  /** @param file absolute */
  exportTo(name: string, file: string, run: RunContext): Promise<Exported>;
  /** @param file absolute @param name its name here; undefined: as it was called */
  importFrom(file: string, name: string | undefined, run: RunContext): Promise<SnapshotRecord>;
  up(wanted: RestoreRequest, run: RunContext): Promise<UpResult>;
  /** From a snapshot of the same configuration, which is made where there is none. */
  instant(wanted: WantedCluster, settings: UpSettings, run: RunContext): Promise<UpResult>;
  reset(cluster: string | undefined, settings: Pick<UpSettings, 'timeoutMs'>, run: RunContext): Promise<UpResult>;
  fork(cluster: string | undefined, wanted: ForkRequest, run: RunContext): Promise<readonly UpResult[]>;
}

// ---- the host -------------------------------------------------------------------------------------------------------

export interface DoctorReport {
  readonly checks: readonly {
    readonly id: string;
    readonly title: string;
    readonly status: 'ok' | 'warning' | 'error';
    readonly message?: string;
    /** Pasteable commands that mend it. */
    readonly commands: readonly string[];
  }[];
  /** What `--fix` ran. */
  readonly fixed: readonly string[];
}

export interface PruneReport {
  /** What is gone, for people. */
  readonly removed: readonly string[];
  /** What is still there, and why. */
  readonly failed: readonly string[];
  /** Where nobody could look, and why. */
  readonly unseen: readonly string[];
}

export interface CacheEntry {
  readonly kind: string;
  /** Of an artifact. */
  readonly key?: Digest;
  readonly title: string;
  /** Bytes on disk. */
  readonly size: number;
  /** ISO 8601; missing for what grows with use. */
  readonly madeAt?: string;
  /** ISO 8601. */
  readonly lastUsed: string;
}

export interface CachePruneReport {
  readonly removed: readonly CacheEntry[];
  /** Would have gone, but another kvci makes or uses them. */
  readonly inUse: readonly CacheEntry[];
  /** Folders of killed runs. */
  readonly leftovers: readonly string[];
  /** Of the image store: no image needed them any more. `size` is in bytes. */
  readonly unusedBlobs: { readonly count: number; readonly size: number };
  /** Bytes: what went, and what is left. */
  readonly freed: number;
  readonly size: number;
}

export interface HostService {
  /** `fix` shows the commands before it runs them, and answers with what is still wrong afterwards. */
  doctor(options: { readonly fix: boolean }, run: RunContext): Promise<DoctorReport>;
  prune(run: RunContext): Promise<PruneReport>;
  /** The largest first. */
  cacheList(): Promise<{
    readonly folder: string;
    /** Bytes of all entries. */
    readonly size: number;
    /** Bytes of the image store, which `image rm` bounds. Layers that are artifacts, too, share their space with these. */
    readonly images: number;
    readonly entries: readonly CacheEntry[];
  }>;
  /** Removes the least recently used until at most `keepBytes` are left. */
  cachePrune(keepBytes: number, run: RunContext): Promise<CachePruneReport>;
}
