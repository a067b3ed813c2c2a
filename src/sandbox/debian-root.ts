import type { DebianHost } from './debian-resolve.ts';
import type { DebianPackageSet } from './debian-types.ts';

export interface RootRequest {
  readonly set: DebianPackageSet;
  /** Folder of the set's repository, as the place where mmdebstrap runs sees it. */
  readonly repository: string;
  /** A tar, or a folder that does not exist yet, as the place where mmdebstrap runs sees it. */
  readonly output: { readonly format: 'tar' | 'directory'; readonly path: string };
  /** Seconds since the epoch: no file is younger. */
  readonly sourceDateEpoch: number;
  /** dpkg path filters, in order: `path-exclude=/usr/share/man/*`. They stay in the root for packages installed later. */
  readonly dpkgOptions: readonly string[];
  /** Lines of the root's own /etc/apt/sources.list; none by default. */
  readonly sources: readonly string[];
  /** Constant shell texts, run with the root's path as $1 (mmdebstrap(1), HOOKS); values come in by `environment`. */
  readonly hooks?: Readonly<Partial<Record<'setup' | 'extract' | 'essential' | 'customize', readonly string[]>>>;
  readonly environment?: Readonly<Record<string, string>>;
  /** Steps of mmdebstrap to leave out (mmdebstrap(1), --skip): `output/dev` for a tar without /dev. */
  readonly skip?: readonly string[];
}

/** Replaces the source that the root was made from, which means nothing later. */
const SET_SOURCES = `rm -f "$1"/etc/apt/sources.list.d/*
if [ -n "$KVCI_SOURCES" ]; then printf '%s\\n' "$KVCI_SOURCES" >"$1/etc/apt/sources.list"; else rm -f "$1/etc/apt/sources.list"; fi`;

/**
 * A root file system of exactly the packages of a set, from its local repository, without network. The same request gives
 * the same tar, byte by byte.
 *
 * @throws CommandError with mmdebstrap's last lines
 */
export async function buildRoot(request: RootRequest, host: DebianHost): Promise<void> {
  await host.commands.run(rootArgv(request), {
    signal: host.signal,
    env: {
      ...request.environment,
      TMPDIR: host.temporary,
      SOURCE_DATE_EPOCH: String(request.sourceDateEpoch),
      KVCI_SOURCES: request.sources.join('\n'),
    },
    ...(host.onLine === undefined ? {} : { onLine: host.onLine }),
  });
}

export function rootArgv(request: RootRequest): [string, ...string[]] {
  const { set, output, hooks = {} } = request;
  return [
    'mmdebstrap',
    '--mode=root',
    '--variant=essential',
    `--format=${output.format}`,
    `--architectures=${set.architecture}`,
    `--include=${set.packages.map(({ name }) => name).join(',')}`,
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    ...request.dpkgOptions.map((option) => `--dpkgopt=${option}`),
    ...(['setup', 'extract', 'essential', 'customize'] as const).flatMap((name) =>
      (hooks[name] ?? []).map((hook) => `--${name}-hook=${hook}`),
    ),
    `--customize-hook=${SET_SOURCES}`,
    ...(request.skip ?? []).map((step) => `--skip=${step}`),
    set.suite,
    output.path,
    // The packages were verified by the digests of the set; copied, because dpkg in the new root does not see the host's folders.
    `deb [trusted=yes] copy:${encodeURI(request.repository)} ./`,
  ];
}
