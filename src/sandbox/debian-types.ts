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

/** Base URLs (with a trailing slash) by archive name. Never kept in a lock: which mirror serves is a matter of the host. */
export type DebianArchives = ReadonlyMap<string, readonly string[]>;

export interface DebianRequest {
  /** `trixie` */
  readonly suite: string;
  /** `amd64`, `arm64` */
  readonly architecture: string;
  /** Package names, or `name=version`; essential packages and dependencies come by themselves, recommended ones do not. */
  readonly wanted: readonly string[];
  /** URLs or sources.list lines instead of the mirrors that mmdebstrap knows for the suite (main, updates, security). */
  readonly mirrors?: readonly string[];
}
