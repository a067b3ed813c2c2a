import { KvciError } from '../core/errors.ts';
import { CommandError } from '../host/command-error.ts';
import type { CommandRunner } from '../host/types.ts';
import type { DebianArchives, DebianPackage, DebianPackageSet, DebianRequest } from './debian-types.ts';

/** What runs mmdebstrap: over the host or over the tools image, in both as root of a sandbox. */
export interface DebianHost {
  readonly commands: CommandRunner;
  /** An existing folder, seen by `commands`, for files of mapped ids while a command runs. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  readonly onLine?: (line: string) => void;
}

/**
 * Runs after mmdebstrap has fetched and verified the indexes. With nothing installed, apt would fetch every package of the
 * wanted system: it is asked which, and no more. A constant text; names come in the environment. The answer goes to a file,
 * because mmdebstrap has the standard streams of a hook for itself.
 */
const PRINT_PACKAGES = `set -eu
exec >"$KVCI_ANSWER"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt-get update -q --print-uris
if [ -n "$KVCI_WANTED" ]; then
  apt-get install --yes -qq --print-uris -o Acquire::ForceHash=SHA256 -o APT::Install-Recommends=false "?essential" $KVCI_WANTED
fi`;

const NAME = /^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$/;

/**
 * The exact packages of the newest system that has what is wanted, and where they are served. Signatures are checked by apt
 * against the Debian archive keyring of the place where mmdebstrap runs.
 *
 * @throws KvciError `package-unknown` naming it, CommandError when the mirrors do not answer
 */
export async function resolvePackages(
  request: DebianRequest,
  host: DebianHost,
): Promise<{ readonly set: DebianPackageSet; readonly archives: DebianArchives }> {
  const output = await runResolver(request, host);
  const archives = parseArchives(output);
  const wanted = [...new Set(request.wanted)].toSorted();
  return { archives, set: { suite: request.suite, architecture: request.architecture, wanted, packages: parseUris(output, archives) } };
}

/** Where a suite is served, without asking which packages: for a lock whose packages are not all here. */
export async function findArchives(request: Omit<DebianRequest, 'wanted'>, host: DebianHost): Promise<DebianArchives> {
  return parseArchives(await runResolver({ ...request, wanted: [] }, host));
}

async function runResolver(request: DebianRequest, host: DebianHost): Promise<string> {
  const bad = request.wanted.find((name) => !NAME.test(name));
  if (bad !== undefined) throw new KvciError('usage', 'bad-package-name', `"${bad}" is not the name of a Debian package`);
  try {
    const answer = `${host.temporary}/packages`;
    await host.commands.run(resolverArgv(request), {
      signal: host.signal,
      env: { TMPDIR: host.temporary, KVCI_ANSWER: answer, KVCI_WANTED: request.wanted.join(' ') },
      ...(host.onLine === undefined ? {} : { onLine: host.onLine }),
    });
    const { stdout } = await host.commands.run(['cat', answer], { signal: host.signal });
    return stdout;
  } catch (error) {
    throw explain(error, request);
  }
}

export function resolverArgv(request: DebianRequest): [string, ...string[]] {
  return [
    'mmdebstrap',
    '--mode=root',
    '--variant=custom',
    '--format=null',
    `--architectures=${request.architecture}`,
    // Only indexes are read here: the architecture need not run on this host.
    '--skip=check/qemu',
    ...(request.wanted.length === 0 ? ['--skip=update'] : []),
    `--extract-hook=${PRINT_PACKAGES}`,
    request.suite,
    '/dev/null',
    ...(request.mirrors ?? []),
  ];
}

function explain(error: unknown, request: DebianRequest): unknown {
  if (!(error instanceof CommandError)) return error;
  const unknown = unknownPackages(error.result.stderr);
  if (unknown.length === 0) return error;
  const names = unknown.join(', ');
  return new KvciError('notFoundOrExists', 'package-unknown', `Debian ${request.suite} (${request.architecture}) does not serve ${names}`, {
    hint: 'Check the name on https://packages.debian.org/.',
    cause: error,
  });
}

/** The packages, or versions of packages, that apt says there are none of. */
export function unknownPackages(stderr: string): string[] {
  const lines = stderr.split('\n');
  const names = lines.flatMap((line) => {
    const [, located, version, versioned, empty] =
      /^E: (?:Unable to locate package (\S+)|Version '(\S+)' for '(\S+)' was not found|Package '(\S+)' has no installation candidate)/.exec(
        line,
      ) ?? [];
    return located ?? (versioned === undefined ? empty : `${versioned}=${version ?? ''}`) ?? [];
  });
  return [...new Set(names)];
}

/**
 * The base URLs of all sources, by the last part of their path (`debian`, `debian-security`), of `apt-get update
 * --print-uris`: one line for each suite's InRelease, which lies below `dists/` or, in a flat repository, beside the packages.
 */
export function parseArchives(output: string): DebianArchives {
  const archives = new Map<string, string[]>();
  for (const line of output.split('\n')) {
    const [, url] = /^'([^']+?\/)(?:dists\/[^']*\/|\.\/)?InRelease' /.exec(line) ?? [];
    if (url === undefined) continue;
    const name = new URL(url).pathname.split('/').at(-2);
    const key = name === undefined || name === '' ? 'archive' : name;
    const urls = archives.get(key) ?? [];
    if (!urls.includes(url)) urls.push(url);
    archives.set(key, urls);
  }
  return archives;
}

/**
 * The packages of `apt-get --print-uris`: `'URL' NAME_VERSION_ARCH.deb SIZE SHA256:HEX` a line, colons of versions as %3a.
 *
 * @throws KvciError `apt-output` when a line has no sha256 or no known archive
 */
export function parseUris(output: string, archives: DebianArchives): DebianPackage[] {
  const bases = [...archives].flatMap(([archive, urls]) => urls.map((url) => ({ archive, url })));
  const packages = output
    .split('\n')
    .filter((line) => line.startsWith("'") && /\.deb \d+/.test(line))
    .map((line): DebianPackage => {
      const match = /^'([^']+)' ([^_ ]+)_([^_ ]+)_([a-z0-9]+)\.deb (\d+) SHA256:([0-9a-f]{64})$/.exec(line.trim());
      const [, url = '', name = '', version = '', architecture = '', size, sha256] = match ?? [];
      const base = bases.filter((candidate) => url.startsWith(candidate.url)).toSorted((a, b) => b.url.length - a.url.length)[0];
      if (sha256 === undefined || base === undefined)
        throw new KvciError('failed', 'apt-output', `apt told of a package in an unknown form: ${line}`);
      return {
        name,
        version: decodeURIComponent(version),
        architecture,
        sha256: `sha256:${sha256}`,
        size: Number(size),
        archive: base.archive,
        filename: decodeURIComponent(url.slice(base.url.length)),
      };
    });
  return packages.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
