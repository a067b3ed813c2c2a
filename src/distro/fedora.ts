import { RPM } from './rpm.ts';
import type { Distribution } from './types.ts';

/** `fedora-42`: any Fedora release that publishes a bootc image. */
export function fedora(release: string): Distribution {
  return {
    ...RPM,
    id: `fedora-${release}`,
    title: `Fedora ${release}`,
    image: `quay.io/fedora/fedora-bootc:${release}`,
    template: 'base/fedora',
  };
}
