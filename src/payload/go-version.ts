import type { PayloadComponent } from './types.ts';

/**
 * Modules that programs were built from, as `go version -m` reads them out of the programs: each module version once, the
 * standard library among them. Main modules are kvci's own generated ones and left out.
 */
export function goModuleComponents(text: string): PayloadComponent[] {
  const components = new Map<string, PayloadComponent>();
  const add = (name: string, version: string): void => {
    const purl = golangPurl(name, version);
    components.set(purl, { purl, name, version });
  };
  let replaced: readonly [string, string] | undefined;
  const flush = (): void => {
    if (replaced !== undefined) add(...replaced);
    replaced = undefined;
  };
  for (const line of text.split('\n')) {
    const [, kind, name = '', version = ''] = line.split('\t');
    const toolchain = /: go(\d\S*)/.exec(line)?.[1];
    if (toolchain !== undefined && !line.startsWith('\t')) add('stdlib', toolchain);
    // `=>` says what a module was replaced by; the line before names what it stands for.
    if (kind === '=>') replaced = [name, version];
    else flush();
    if (kind === 'dep') replaced = [name, version];
  }
  flush();
  return [...components.values()].toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
}

/** @see https://github.com/package-url/purl-spec/blob/main/types-doc/golang-definition.md */
export function golangPurl(name: string, version: string): string {
  return `pkg:golang/${name.split('/').map(encodeURIComponent).join('/')}@${encodeURIComponent(version)}`;
}
