import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { Tar } from '../host/tar.ts';
import type { ArtifactStore, Directories, Downloads, Ledger } from '../host/types.ts';
import { indexTar } from '../oci/layer.ts';
import type { TreeEntryWithContent } from '../oci/types.ts';
import { fetchPackages, fileOf, packageSetKey } from '../sandbox/debian-repository.ts';
import { openDebianHost } from '../sandbox/debian-host.ts';
import { findArchives, resolvePackages } from '../sandbox/debian-resolve.ts';
import type { DebianArchives, DebianPackageSet } from '../sandbox/debian-types.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { symlink, type Userland } from './control-plane-images.ts';
import type { Architecture, PayloadComponent } from './types.ts';

const SUITE = 'trixie';

/** The programs that kube-proxy runs, every library they are linked with, and the tables of names they read. */
const PROXY_PACKAGES = [
  'conntrack',
  'ipset',
  'iptables',
  'libbsd0',
  'libc6',
  'libedit2',
  'libgmp10',
  'libip4tc2',
  'libip6tc2',
  'libipset13t64',
  'libjansson4',
  'libmd0',
  'libmnl0',
  'libnetfilter-conntrack3',
  'libnfnetlink0',
  'libnftables1',
  'libnftnl11',
  'libtinfo6',
  'libxtables12',
  'netbase',
  'nftables',
] as const;

const CERTIFICATES_PACKAGE = 'ca-certificates';

/** What control-plane images take from Debian. */
export interface UserlandSource {
  /** Asks the network. */
  resolve(architecture: Architecture, run: RunContext): Promise<DebianPackageSet>;
  /** The contents can be read until it is disposed. */
  open(set: DebianPackageSet, run: RunContext): Promise<Userland & AsyncDisposable>;
  key(set: DebianPackageSet): Digest;
  components(set: DebianPackageSet): readonly PayloadComponent[];
}

export interface UserlandParts {
  readonly sandboxes: Sandboxes;
  readonly store: ArtifactStore;
  readonly downloads: Downloads;
  readonly directories: Pick<Directories, 'cache'>;
  readonly ledger: Ledger;
  readonly tar: Tar;
  readonly offline: boolean;
  /** Instead of the mirrors that mmdebstrap knows for the suite. */
  readonly mirrors?: readonly string[];
}

/** Userland from Debian packages: resolved by apt, unpacked by dpkg-deb, both in a sandbox over the tools image. */
export function debianUserland(parts: UserlandParts): UserlandSource {
  const request = (architecture: string) => ({
    suite: SUITE,
    architecture,
    ...(parts.mirrors === undefined ? {} : { mirrors: parts.mirrors }),
  });
  const wanted = [...PROXY_PACKAGES, CERTIFICATES_PACKAGE].toSorted();
  let known: DebianArchives | undefined;
  return {
    resolve: async (architecture, run) => {
      if (parts.offline)
        throw new KvciError('failed', 'offline', 'Debian packages of control-plane images cannot be resolved with --offline');
      await using host = await openDebianHost(parts, run.signal);
      const { set, archives } = await resolvePackages({ ...request(architecture), wanted }, host);
      known = archives;
      return onlyWanted(set);
    },
    open: async (set, run) => {
      const host = await openDebianHost(parts, run.signal);
      try {
        const repository = await fetchPackages(set, {
          store: parts.store,
          downloads: parts.downloads,
          commands: host.commands,
          archives: async () => known ?? findArchives(request(set.architecture), host),
          signal: run.signal,
        });
        const entries: TreeEntryWithContent[] = [];
        for (const one of set.packages) {
          const tar = join(host.temporary, `${one.name}.tar`);
          const deb = join(repository.path, fileOf(one));
          await host.commands.run(['dpkg-deb', '--fsys-tarfile', deb], {
            signal: run.signal,
            stdout: createWriteStream(tar, { flags: 'wx' }),
          });
          entries.push(...(await indexTar(parts.tar, tar)));
        }
        const certificates = await readCertificates(entries);
        return { certificates, proxy: proxyEntries(entries, set.architecture), [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() };
      } catch (error) {
        await host[Symbol.asyncDispose]();
        throw error;
      }
    },
    key: packageSetKey,
    components: debianComponents,
  };
}

/** What is unpacked: not the essential packages and scripts' dependencies that apt adds for a whole system. */
export function onlyWanted(set: DebianPackageSet): DebianPackageSet {
  const packages = set.packages.filter(({ name }) => set.wanted.includes(name));
  const missing = set.wanted.filter((name) => !packages.some((one) => one.name === name));
  if (missing.length === 0) return { ...set, packages };
  throw new KvciError('bug', 'package-renamed', `Debian ${set.suite} serves ${missing.join(', ')} under another name`);
}

/** Paths, with merged /usr, that an image without a shell or package manager needs of a package. */
const KEPT = [
  /^usr\/sbin\/[^/]+$/,
  /^usr\/lib\/(?:[^/]+\/)?(?:lib|ld-)[^/]*\.so[^/]*$/,
  /^usr\/lib\/[^/]+\/xtables\/[^/]+\.so$/,
  /^usr\/lib64\/[^/]+$/,
  /^etc\/(?:ethertypes|protocols|rpc|services)$/,
  /^usr\/share\/doc\/[^/]+\/copyright$/,
];

/** Names that update-alternatives would link to nft's flavour of iptables. */
const IPTABLES = ['iptables', 'iptables-restore', 'iptables-save', 'ip6tables', 'ip6tables-restore', 'ip6tables-save'] as const;

/**
 * kube-proxy's root of unpacked packages: programs, libraries, tables of names and licences; links of a merged /usr, and of
 * iptables to its nft flavour.
 */
export function proxyEntries(entries: readonly TreeEntryWithContent[], architecture: string): TreeEntryWithContent[] {
  const files = entries
    .filter(({ type }) => type !== 'directory')
    .map((entry) => ({ ...entry, path: entry.path.replace(/^(?:s?bin|lib(?:64)?)\//, 'usr/$&') }))
    .filter(({ path }) => KEPT.some((pattern) => pattern.test(path)));
  return [
    ...files,
    symlink('bin', 'usr/bin'),
    symlink('sbin', 'usr/sbin'),
    symlink('lib', 'usr/lib'),
    ...(architecture === 'amd64' ? [symlink('lib64', 'usr/lib64')] : []),
    ...IPTABLES.map((name) => symlink(`usr/sbin/${name}`, 'xtables-nft-multi')),
  ];
}

/** The certificates of `ca-certificates` in one text, as update-ca-certificates would write it. */
async function readCertificates(entries: readonly TreeEntryWithContent[]): Promise<Uint8Array> {
  const files = entries
    .filter(({ type, path }) => type === 'file' && /^usr\/share\/ca-certificates\/mozilla\/[^/]+\.crt$/.test(path))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const texts: string[] = [];
  for (const file of files) texts.push(`${(await buffer(file.content())).toString('utf8').trimEnd()}\n`);
  if (texts.length === 0)
    throw new KvciError('failed', 'no-certificates', 'the package ca-certificates holds no certificates where they used to be');
  return Buffer.from(texts.join(''));
}

/** @see https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md */
export function debianComponents(set: DebianPackageSet): PayloadComponent[] {
  return set.packages.map(({ name, version, architecture, sha256 }) => ({
    purl: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=${set.suite}`,
    name,
    version,
    digest: sha256,
  }));
}
