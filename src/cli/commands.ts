import type { CommandModule } from './command.ts';

export interface CommandEntry {
  /** The words after `kvci`. */
  readonly path: readonly string[];
  readonly summary: string;
  load(): Promise<CommandModule>;
}

/** Words that stand for several commands. */
export const GROUPS: Readonly<Record<string, string>> = {
  image: 'Build, check and move node images',
  disk: 'Make disks of node images',
  kind: "For clusters that upstream's kind makes",
  node: 'Add nodes to a cluster and remove them',
  snapshot: 'Save clusters as they run, and keep what was saved',
  cache: 'Show and bound what is kept',
  config: 'What kvci.yaml may hold',
};

/** Every command; a new one is a file in `commands/` and a line here. */
export const COMMANDS: readonly CommandEntry[] = [
  entry('up', 'Bring a cluster up, or find it Ready', async () => (await import('./commands/up.ts')).up),
  entry('down', 'Remove a cluster with all that belongs to it', async () => (await import('./commands/down.ts')).down),
  entry('stop', 'Shut down the nodes of a cluster', async () => (await import('./commands/stop.ts')).stop),
  entry('start', 'Start a stopped cluster again', async () => (await import('./commands/start.ts')).start),
  entry('reset', 'Put a cluster back to what it was saved as', async () => (await import('./commands/reset.ts')).reset),
  entry('fork', 'Make copies of a cluster that runs', async () => (await import('./commands/fork.ts')).fork),
  entry('snapshot save', 'Save a cluster as it runs', async () => (await import('./commands/snapshot-save.ts')).snapshotSave),
  entry('snapshot list', 'List the snapshots', async () => (await import('./commands/snapshot-list.ts')).snapshotList),
  entry(
    'snapshot inspect',
    'Show what a snapshot is of and what it needs',
    async () => (await import('./commands/snapshot-inspect.ts')).snapshotInspect,
  ),
  entry(
    'snapshot export',
    'Write a snapshot into a file, keys and all',
    async () => (await import('./commands/snapshot-export.ts')).snapshotExport,
  ),
  entry('snapshot import', 'Read a snapshot from a file', async () => (await import('./commands/snapshot-import.ts')).snapshotImport),
  entry('snapshot rm', 'Remove snapshots', async () => (await import('./commands/snapshot-rm.ts')).snapshotRm),
  entry('list', 'List the clusters', async () => (await import('./commands/list.ts')).list),
  entry('status', 'Show nodes, times and what is not Ready', async () => (await import('./commands/status.ts')).status),
  entry(
    'kubeconfig',
    'Print the kubeconfig of a cluster, or merge it into yours',
    async () => (await import('./commands/kubeconfig.ts')).kubeconfig,
  ),
  entry('ssh', 'Enter a node, or run a command on it', async () => (await import('./commands/ssh.ts')).ssh),
  entry('console', 'Show the console of a node, and type at it', async () => (await import('./commands/console.ts')).console),
  entry('exec', 'Run a command on all nodes', async () => (await import('./commands/exec.ts')).exec),
  entry('cp', 'Copy files and folders to a node or from it', async () => (await import('./commands/cp.ts')).cp),
  entry('load', 'Put images into the nodes of a cluster', async () => (await import('./commands/load.ts')).load),
  entry('logs', 'Show the journal of a node, or collect everything', async () => (await import('./commands/logs.ts')).logs),
  entry('ports', 'Show what on this host leads where', async () => (await import('./commands/ports.ts')).ports),
  entry('timeline', 'Draw where the time of a run went', async () => (await import('./commands/timeline.ts')).timeline),
  entry('node add', 'Add nodes to a cluster', async () => (await import('./commands/node-add.ts')).nodeAdd),
  entry('node remove', 'Remove a node, dead or alive', async () => (await import('./commands/node-remove.ts')).nodeRemove),
  entry(
    'image build',
    'Build a bootc node image of a Kubernetes version',
    async () => (await import('./commands/image-build.ts')).imageBuild,
  ),
  entry(
    'image render',
    'Print the Containerfile and list its context',
    async () => (await import('./commands/image-render.ts')).imageRender,
  ),
  entry('image lock', 'Record every input with its digest in kvci.lock', async () => (await import('./commands/image-lock.ts')).imageLock),
  entry(
    'image check',
    'Check the static facts of an image without booting it',
    async () => (await import('./commands/image-check.ts')).imageCheck,
  ),
  entry(
    'image verify',
    'Boot an image or a disk and prove what it promises',
    async () => (await import('./commands/image-verify.ts')).imageVerify,
  ),
  entry(
    'image inspect',
    'Show labels, layers, SBOM and provenance',
    async () => (await import('./commands/image-inspect.ts')).imageInspect,
  ),
  entry('image list', 'List the images in the store', async () => (await import('./commands/image-list.ts')).imageList),
  entry('image rm', 'Remove images from the store', async () => (await import('./commands/image-rm.ts')).imageRm),
  entry('image diff', 'Say what changed between two images', async () => (await import('./commands/image-diff.ts')).imageDiff),
  entry('image save', 'Write an image to a file', async () => (await import('./commands/image-save.ts')).imageSave),
  entry('image load', 'Read images from a file', async () => (await import('./commands/image-load.ts')).imageLoad),
  entry('disk build', 'Make a disk that boots of a node image', async () => (await import('./commands/disk-build.ts')).diskBuild),
  entry(
    'disk boot',
    'Boot a disk to look at it, by its console and by SSH',
    async () => (await import('./commands/disk-boot.ts')).diskBoot,
  ),
  entry('disk ssh', 'Open a shell on a booted disk, or run a command there', async () => (await import('./commands/disk-ssh.ts')).diskSsh),
  entry(
    'kind config',
    "Print the configuration by which upstream's kind takes an image",
    async () => (await import('./commands/kind-config.ts')).kindConfigCommand,
  ),
  entry('doctor', 'Find every problem of this host and say what mends it', async () => (await import('./commands/doctor.ts')).doctor),
  entry('prune', 'Remove what killed runs left behind', async () => (await import('./commands/prune.ts')).prune),
  entry('cache list', 'List what is kept', async () => (await import('./commands/cache-list.ts')).cacheList),
  entry('cache prune', 'Remove the least recently used from the cache', async () => (await import('./commands/cache-prune.ts')).cachePrune),
  entry('config schema', 'Print the JSON Schema of kvci.yaml', async () => (await import('./commands/config-schema.ts')).configSchema),
  entry('completion', 'Print a completion script for a shell', async () => (await import('./commands/completion.ts')).completion),
  entry('version', 'Print versions of kvci and Node.js', async () => (await import('./commands/version.ts')).version),
];

function entry(path: string, summary: string, load: CommandEntry['load']): CommandEntry {
  return { path: path.split(' '), summary, load };
}
