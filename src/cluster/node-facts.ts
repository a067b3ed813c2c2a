import type { CommandRunner } from '../host/types.ts';

/** What a node tells about itself once it runs. */
export interface NodeFacts {
  /** It shares the host's kernel. */
  readonly container: boolean;
  /** Controllers of control groups that it would need and does not have: it runs pods without limits. */
  readonly missingControllers: readonly string[];
}

/** Written by the image's entrypoint: `missing-controllers: cpu memory`. */
const MARKER = '/run/kvci/container';

export async function readNodeFacts(node: CommandRunner, signal: AbortSignal): Promise<NodeFacts> {
  // Exit code 1: there is no such file.
  const { exitCode, stdout } = await node.run(['cat', MARKER], { accept: [1], signal });
  return exitCode === 0 ? { container: true, missingControllers: parseMarker(stdout) } : { container: false, missingControllers: [] };
}

export function parseMarker(text: string): readonly string[] {
  const words = /^missing-controllers:(.*)$/m.exec(text)?.[1] ?? '';
  return words.split(' ').filter((word) => word !== '');
}
