/** What kvci reads from an os-release file: https://www.freedesktop.org/software/systemd/man/latest/os-release.html */
export interface OsRelease {
  readonly id: string;
  /** `ID_LIKE`: relatives, nearest first. */
  readonly like: readonly string[];
  /** `VERSION_ID`, empty for rolling releases. */
  readonly version: string;
  /** `PRETTY_NAME`, or the id. */
  readonly title: string;
}

/** Reads the text of /usr/lib/os-release. Lines that are no assignments are skipped, as systemd does. */
export function parseOsRelease(text: string): OsRelease {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*([A-Z][A-Z0-9_]*)=(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined) values.set(match[1], unquote(match[2] ?? ''));
  }
  const id = values.get('ID') ?? 'linux';
  return {
    id,
    like: (values.get('ID_LIKE') ?? '').split(/\s+/).filter((word) => word !== ''),
    version: values.get('VERSION_ID') ?? '',
    title: values.get('PRETTY_NAME') ?? id,
  };
}

/** Quotes as a shell reads them, without expansions. */
function unquote(value: string): string {
  if (/^'.*'$/.test(value)) return value.slice(1, -1);
  const inner = /^".*"$/.test(value) ? value.slice(1, -1) : value;
  return inner.replaceAll(/\\(["$`\\])/g, '$1');
}
