import { configLines, nameOf, type ImageView } from './view.ts';

/** Everything that facts read of systemd: units, their drop-ins, tmpfiles.d. */
export const UNIT_FILES = /^(etc|usr\/lib)\/systemd\/(system|network)\/.*\.(service|socket|path|swap|target|timer|mount|network|conf)$/;
export const TMPFILES = /^(etc|usr\/lib)\/tmpfiles\.d\/[^/]+\.conf$/;

const UNIT_FOLDERS = ['etc/systemd/system', 'usr/etc/systemd/system', 'usr/lib/systemd/system'] as const;

/** The file of a unit, in systemd's order of search; undefined when there is none. */
export function unitFile(image: ImageView, unit: string): string | undefined {
  return UNIT_FOLDERS.map((folder) => `${folder}/${unit}`).find((path) => image.target(path) !== undefined);
}

/** A link to /dev/null or an empty file in the place of the unit. */
export function isMasked(image: ImageView, unit: string): boolean {
  return UNIT_FOLDERS.some((folder) => image.entry(`${folder}/${unit}`) !== undefined && image.resolve(`${folder}/${unit}`) === 'dev/null');
}

/** True when a `.wants`, `.requires` or `.upholds` link of some unit pulls it in at boot. */
export function isEnabled(image: ImageView, unit: string): boolean {
  if (isMasked(image, unit) || unitFile(image, unit) === undefined) return false;
  return enabledUnits(image).has(unit);
}

/** Names of all units that a link pulls in. */
export function enabledUnits(image: ImageView): ReadonlySet<string> {
  const enabled = new Set<string>();
  for (const folder of UNIT_FOLDERS) {
    for (const wants of image.children(folder)) {
      if (!/\.(wants|requires|upholds)$/.test(wants)) continue;
      for (const link of image.children(wants)) enabled.add(nameOf(link));
    }
  }
  return enabled;
}

/** The lines of a unit and its drop-ins, in the order systemd reads them. */
export function unitLines(image: ImageView, unit: string): readonly string[] {
  const file = unitFile(image, unit);
  const dropIns = UNIT_FOLDERS.toReversed().flatMap((folder) =>
    image.children(`${folder}/${unit}.d`).filter((path) => path.endsWith('.conf')),
  );
  return [...(file === undefined ? [] : [file]), ...dropIns].flatMap((path) => configLines(image.text(path)));
}

/** Values of one key of a unit, an empty assignment clearing what stood before it. */
export function unitValues(lines: readonly string[], key: string): readonly string[] {
  let values: string[] = [];
  for (const line of lines) {
    const match = /^([A-Za-z]+)\s*=\s*(.*)$/.exec(line);
    if (match?.[1] !== key) continue;
    if (match[2] === undefined || match[2] === '') values = [];
    else values.push(match[2]);
  }
  return values;
}

/** Paths (without a leading slash) that systemd-tmpfiles makes at boot, with the letter of each line. */
export function tmpfilesPaths(image: ImageView): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  for (const file of image.dropIns('tmpfiles.d', '.conf')) {
    for (const line of configLines(image.text(file))) {
      const [type = '', path = ''] = line.split(/\s+/);
      if (/^[dDvqQCfFLbcpw][+!\-=~^$]*$/.test(type) && path.startsWith('/')) paths.set(path.replace(/^\/|\/$/g, ''), type);
    }
  }
  return paths;
}

/** Folders below /var that services make for themselves (`StateDirectory=` and its kin), without a leading slash. */
export function serviceDirectories(image: ImageView): ReadonlySet<string> {
  const folders = { StateDirectory: 'var/lib', CacheDirectory: 'var/cache', LogsDirectory: 'var/log' } as const;
  const found = new Set<string>();
  for (const folder of UNIT_FOLDERS) {
    for (const unit of image.children(folder)) {
      if (!unit.endsWith('.service')) continue;
      const lines = configLines(image.text(unit));
      for (const [key, base] of Object.entries(folders)) {
        for (const value of unitValues(lines, key)) for (const word of value.split(/\s+/)) found.add(`${base}/${word.split(':')[0] ?? ''}`);
      }
    }
  }
  return found;
}
