import { misfit, onlyForVm, onlyForVms } from './fit-providers.ts';
import type { ClusterOptions } from './options.ts';
import { nodeName, roleAt } from './spec.ts';

/** Whether virtual machines would have KVM here, and why, for people. */
export interface KvmAnswer {
  readonly usable: boolean;
  readonly reason: string;
}

export interface ChosenProvider {
  /** Their `provider` is `auto` no more. */
  readonly options: ClusterOptions;
  /** What was chosen, and why. */
  readonly note?: string;
}

/**
 * What `auto` stands for: virtual machines where KVM can be used or where only they can have what is asked for, containers elsewhere.
 * Emulated control planes take many minutes: where they can be containers beside machines, they are.
 *
 * @param engineNamed somebody said in which engine nodes are to be, which only containers are, or the sandbox of machines
 * @param kvm asked only where the answer depends on it: it may try a machine
 */
export async function chooseProvider(
  options: ClusterOptions,
  engineNamed: boolean,
  kvm: () => Promise<KvmAnswer>,
): Promise<ChosenProvider> {
  if (options.provider !== 'auto') return { options };
  const containers = { ...options, provider: 'kind' as const };
  const machines = { ...options, provider: 'vm' as const };
  // Nodes that all say themselves what they are leave nothing to choose.
  if (!positions(options).some((at) => isOpen(at, options))) return { options: containers };
  const place = onlyForVms(options);
  if (place !== undefined) {
    const all = { options: machines, note: `nodes are virtual machines, as ${place} is for them` };
    if (engineNamed || !mayBeMixed(options)) return all;
    const found = options.acceleration === 'auto' ? await kvm() : asked(options.acceleration);
    if (found.usable) return all;
    const note = `workers are virtual machines, as ${place} is for them; control planes are containers: ${found.reason}. Say --provider vm for machines only`;
    return { options: { ...machines, controlPlaneProvider: 'kind' }, note };
  }
  if (engineNamed) return { options: containers };
  const unfit = misfit(machines);
  if (unfit !== undefined) return { options: containers, note: `nodes are containers: ${unfit[1]}` };
  const { usable, reason } = await kvm();
  return usable
    ? { options: machines, note: `nodes are virtual machines: KVM can be used (${reason})` }
    : { options: containers, note: `nodes are containers: ${reason}` };
}

function asked(acceleration: 'kvm' | 'emulation'): KvmAnswer {
  return { usable: acceleration === 'kvm', reason: 'emulation is asked for' };
}

/** There are workers to be machines, and nothing is said of control planes that only machines can have. */
function mayBeMixed(options: ClusterOptions): boolean {
  const { controlPlanes, nodes, controlPlaneProvider, sandbox } = options;
  if (nodes <= controlPlanes || controlPlaneProvider !== undefined || sandbox === 'container') return false;
  return positions(options).every((at) => roleAt(at, options) === 'worker' || onlyForVm(options, nodeName(at + 1)) === undefined);
}

function isOpen(at: number, options: ClusterOptions): boolean {
  if (options.overrides[nodeName(at + 1)]?.provider !== undefined) return false;
  return roleAt(at, options) === 'worker' || options.controlPlaneProvider === undefined;
}

function positions({ nodes }: ClusterOptions): readonly number[] {
  return Array.from({ length: nodes }, (_, at) => at);
}
