/** As Go, Debian and OCI name them. */
export type NodeArchitecture = 'amd64' | 'arm64';

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
  /**
   * Packages that make the distribution a node, Kubernetes itself left out. Where kvci builds the base they are in it; elsewhere
   * the Containerfile installs them.
   */
  readonly packages: readonly string[];
  /** Packages of the base image that a node must not have: firewalls that eat rules, swap on zram. */
  readonly unwanted: readonly string[];
  /** The kernel package that the base has by default. */
  kernel(architecture: NodeArchitecture): string;
  /** Packages beside the kernel, of exactly the kernel's version, for modules that a node needs. */
  readonly kernelModules: readonly string[];
}
