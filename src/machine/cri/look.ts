import { KvciError } from '../../core/errors.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { ContainerRuntime, WantedImage } from './types.ts';

/** What one look into a node tells. */
export interface NodeLook {
  readonly runtime: ContainerRuntime;
  /** As images call it: `amd64`. */
  readonly architecture: string;
  /** Names of the images that are there under their digest, whole. */
  readonly whole: ReadonlySet<string>;
}

/**
 * One command for all of it: loading what is there already takes as long as this. Names are arguments. ctr's filters are those of
 * https://github.com/containerd/containerd/blob/main/pkg/filters/filter.go.
 */
const LOOK = `uname -m
if [ -S /run/containerd/containerd.sock ]; then
  echo containerd
  for name; do shift; set -- "$@" "name==\\"$name\\""; done
  exec ctr --namespace k8s.io images check "$@"
fi
if [ -S /run/crio/crio.sock ]; then
  echo cri-o
  for name; do echo "$name $(skopeo inspect --format '{{.Digest}}' "containers-storage:$name" 2>/dev/null)"; done
fi`;

/** @throws KvciError `no-container-runtime` when none runs */
export async function lookIntoNode(node: CommandRunner, images: readonly WantedImage[], signal: AbortSignal): Promise<NodeLook> {
  const { stdout } = await node.run(['sh', '-c', LOOK, 'sh', ...images.map(({ name }) => name)], { signal });
  const look = parseLook(stdout, images);
  if (look !== undefined) return look;
  throw new KvciError('failed', 'no-container-runtime', `neither containerd nor CRI-O runs on ${node.where}`, {
    hint: `See what it says: kvci logs ${node.where}`,
    facts: { node: node.where },
  });
}

/** Undefined when no runtime runs. */
export function parseLook(text: string, images: readonly WantedImage[]): NodeLook | undefined {
  const [machine = '', runtime, ...lines] = text.split('\n');
  if (runtime !== 'containerd' && runtime !== 'cri-o') return undefined;
  const there = new Map(
    lines.flatMap((line) => {
      const [name = '', ...fields] = line.trim().split(/\s+/);
      // containerd: REF TYPE DIGEST STATUS SIZE UNPACKED, of which the status of one that was cut off is "incomplete".
      const digest = runtime === 'cri-o' ? fields[0] : fields[2] === 'complete' ? fields[1] : undefined;
      return digest === undefined ? [] : [[name, digest] as const];
    }),
  );
  return {
    runtime,
    architecture: ARCHITECTURES[machine] ?? machine,
    whole: new Set(images.filter(({ name, digest }) => there.get(name) === digest).map(({ name }) => name)),
  };
}

/** The kernel's names and those of images. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64' };
