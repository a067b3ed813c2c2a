import { KvciError } from '../core/errors.ts';

/** Debian release of the tools image. */
export const TOOLS_SUITE = 'trixie';

/** What the tools image leaves out; the copyright files stay, as the licences ask. */
export const TOOLS_DPKG_OPTIONS = [
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
  'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/locale/*',
] as const;

/**
 * The packages that a Containerfile installs: the words of its `apt-get install`, options and patterns left out. Continuation lines are
 * joined and comment lines inside them dropped, as an engine does.
 *
 * @throws KvciError `no-packages`
 */
export function packagesOf(containerfile: string): string[] {
  const joined = containerfile
    .split('\n')
    .filter((line) => !line.trim().startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n/g, ' ');
  const [, words = ''] = /apt-get install ([^&\n]*)/.exec(joined) ?? [];
  const packages = words.split(/\s+/).filter((word) => /^[a-z0-9]/.test(word));
  if (packages.length === 0) throw new KvciError('bug', 'no-packages', 'the Containerfile of the tools image installs no packages');
  return packages.toSorted();
}

/**
 * Every file belongs to who unpacks: root inside a sandbox, and one's own to remove outside. Devices come from the host.
 *
 * @param tar a file, or `-` for standard input
 */
export function unpackArgv(tar: string, folder: string): [string, ...string[]] {
  return ['tar', '--extract', '--preserve-permissions', '--no-same-owner', '--exclude=./dev/*', `--directory=${folder}`, `--file=${tar}`];
}
