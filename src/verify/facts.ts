import type { FactsFile } from './expectations.ts';
import { DEPLOYMENT_FACTS } from './facts/deployment.ts';
import { DISK_FACTS } from './facts/disk.ts';
import { IDENTITY_FACTS } from './facts/identity.ts';
import { KERNEL_FACTS } from './facts/kernel.ts';
import { KUBELET_FACTS } from './facts/kubelet.ts';
import { LAYOUT_FACTS } from './facts/layout.ts';
import { ownFacts } from './facts/own.ts';
import { RUNTIME_FACTS } from './facts/runtime.ts';
import { SECURITY_FACTS } from './facts/security.ts';
import { UNIT_FACTS } from './facts/units.ts';
import type { Fact, NodeKind } from './types.ts';

/** Everything `kvci image verify` proves in a booted node, in the order it is shown; the network's own cases stand in `network-cases.ts`. */
export const FACTS: readonly Fact[] = [
  ...LAYOUT_FACTS,
  ...DEPLOYMENT_FACTS,
  ...DISK_FACTS,
  ...UNIT_FACTS,
  ...SECURITY_FACTS,
  ...KERNEL_FACTS,
  ...RUNTIME_FACTS,
  ...KUBELET_FACTS,
  ...IDENTITY_FACTS,
];

/** The facts that are asked of a kind of node, those of a file of expectations among them. */
export function factsOf(kind: NodeKind, file: FactsFile): readonly Fact[] {
  return [...FACTS, ...ownFacts(file)].filter(({ on }) => on.includes(kind));
}
