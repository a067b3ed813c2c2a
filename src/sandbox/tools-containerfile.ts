import { renderTemplate, type TemplateSources } from '../core/template.ts';
import { TOOLS_DPKG_OPTIONS, TOOLS_SUITE } from './tools-packages.ts';

/** What an engine's build starts from: it only has to bring apt and who may sign, every package is replaced by the wanted version. */
export const TOOLS_BASE = `docker.io/library/debian:${TOOLS_SUITE}-slim`;

export interface ToolsContainerfile {
  readonly architecture: string;
  /** What FROM names, by digest where that is known. */
  readonly image?: string;
  /** Folder of the build context with the packages to install; without it apt is asked which they are. */
  readonly packages?: string;
  /** Lines of sources.list instead of the base's own. */
  readonly sources?: readonly string[];
}

/** What an engine builds, and where the list of packages stands. */
export function toolsContainerfile(containerfiles: TemplateSources, view: ToolsContainerfile): string {
  return renderTemplate(containerfiles, 'tools', {
    image: view.image ?? TOOLS_BASE,
    architecture: view.architecture,
    packages: view.packages ?? '',
    sources: view.sources ?? [],
    dpkgOptions: TOOLS_DPKG_OPTIONS,
  });
}

/**
 * Mirrors as mmdebstrap takes them, as lines of sources.list: what is no line already is the address of an archive.
 */
export function sourceLines(mirrors: readonly string[]): string[] {
  return mirrors.map((mirror) =>
    mirror.startsWith('deb ') ? mirror : `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${TOOLS_SUITE} main`,
  );
}
