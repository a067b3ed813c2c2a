import { inRange } from '../core/versions.ts';

/** What belongs to a range of Kubernetes versions. The first row that fits counts; the last takes everything that is newer. */
export interface PayloadRule {
  /** Semver range of Kubernetes versions. */
  readonly kubernetes: string;
  /**
   * Semver range of containerd versions, the newest served of which is taken.
   * @see https://containerd.io/releases/#kubernetes-support
   */
  readonly containerd: string;
}

const PAYLOAD_RULES: readonly PayloadRule[] = [{ kubernetes: '>=1.31.0-0', containerd: '>=2.1.0 <3.0.0' }];

export function payloadRule(kubernetes: string, rules: readonly PayloadRule[] = PAYLOAD_RULES): PayloadRule | undefined {
  return rules.find((rule) => inRange(kubernetes, rule.kubernetes));
}
