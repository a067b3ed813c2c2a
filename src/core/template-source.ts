import { KvciError } from './errors.ts';
import type { TemplateSources } from './template.ts';

/** A template as it was written; rendering one takes more (`template.ts`). @throws KvciError `template-missing` */
export function templateSource(sources: TemplateSources, name: string): string {
  const source = sources.get(name);
  if (source === undefined) throw new KvciError('bug', 'template-missing', `no template named "${name}"`);
  return source;
}
