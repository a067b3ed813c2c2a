import type { CommandRunner } from '../host/types.ts';

/** What a node tells about itself once it runs. */
export interface NodeFacts {
  /** It shares the host's kernel. */
  readonly container: boolean;
  /** It is a virtual machine whose processor is emulated: everything on it takes about ten times as long. */
  readonly emulated: boolean;
  /** Controllers of control groups that it would need and does not have: it runs pods without limits. */
  readonly missingControllers: readonly string[];
}

/** Written by the image's entrypoint: `missing-controllers: cpu memory`. */
const MARKER = '/run/kvci/container';

/** What systemd calls QEMU without KVM, by what its processor says of itself: systemd-detect-virt(1). */
const EMULATOR = 'qemu';

export async function readNodeFacts(node: CommandRunner, signal: AbortSignal): Promise<NodeFacts> {
  // Exit code 1: there is no such file.
  const { exitCode, stdout } = await node.run(['cat', MARKER], { accept: [1], signal });
  if (exitCode === 0) return { container: true, emulated: false, missingControllers: parseMarker(stdout) };
  // Exit code 1: it is no virtual machine.
  const kind = (await node.run(['systemd-detect-virt', '--vm'], { accept: [1], signal })).stdout.trim();
  return { container: false, emulated: kind === EMULATOR, missingControllers: [] };
}

export function parseMarker(text: string): readonly string[] {
  const words = /^missing-controllers:(.*)$/m.exec(text)?.[1] ?? '';
  return words.split(' ').filter((word) => word !== '');
}
