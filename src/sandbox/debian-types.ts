import type { Digest } from '../core/digest.ts';

/** One Debian package, exactly. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256: Digest;
  readonly size: number;
  /** Which archive serves it (`debian`, `debian-security`), and where in it (`pool/main/...`). No host: mirrors differ. */
  readonly archive: string;
  readonly filename: string;
}

/** All packages of a root file system, as `kvci.lock` keeps them; sorted by name. */
export interface DebianPackageSet {
  readonly suite: string;
  readonly architecture: string;
  /** What was asked for; the rest came as dependencies. */
  readonly wanted: readonly string[];
  readonly packages: readonly DebianPackage[];
}
