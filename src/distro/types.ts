/** How a distribution differs from the others as a node: data that templates and checks read. */
export interface Distribution {
  /** `debian-13`, `centos-stream-9`, `fedora-42`. */
  readonly id: string;
  readonly title: string;
  readonly family: 'debian' | 'rpm';
  readonly cri: 'containerd' | 'cri-o';
  readonly network: 'networkd' | 'network-manager';
  /** The published bootc image that the Containerfile starts from; undefined where kvci builds the base itself. */
  readonly image: string | undefined;
  /** Template of the base's own part: `base/debian-13`. */
  readonly template: string;
  readonly defaultPayload: 'packages' | 'release';
}
