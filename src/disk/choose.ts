import { type KvciError, ProblemsError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import type { ConverterName, DiskConverter, DiskRequest } from './types.ts';

/**
 * The converter that was asked for; for `auto` the first that can be used, and a line that says why.
 *
 * @param converters in the order in which `auto` prefers them
 * @param refused what converters have found in their way since, which are not chosen again
 * @throws KvciError what speaks against the one that was asked for; `no-converter` with what speaks against each
 */
export async function chooseConverter(
  name: ConverterName | 'auto',
  request: DiskRequest,
  converters: readonly DiskConverter[],
  events: EventSink,
  signal: AbortSignal,
  refused: ReadonlyMap<ConverterName, KvciError> = new Map(),
): Promise<DiskConverter> {
  const against: { readonly name: ConverterName; readonly problem: KvciError }[] = [];
  for (const converter of converters) {
    if (name !== 'auto' && converter.name !== name) continue;
    const problem = refused.get(converter.name) ?? (await converter.unfit(request, signal));
    if (problem !== undefined) {
      against.push({ name: converter.name, problem });
      continue;
    }
    if (name === 'auto') events({ type: 'problem', level: 'note', message: `converter: ${reason(converter, against)}` });
    return converter;
  }
  const [first, ...others] = against.map(({ problem }) => problem);
  if (first === undefined) throw new Error(`no converter is called ${name}`);
  throw others.length === 0 ? first : new ProblemsError('no-converter', 'no converter can make this disk on this host', [first, ...others]);
}

function reason({ name }: DiskConverter, against: readonly { readonly name: ConverterName; readonly problem: KvciError }[]): string {
  const others = against.map((other) => `${other.name} cannot: ${other.problem.message}`);
  return others.length === 0 ? `${name}, the first that can make this disk here` : `${name}, because ${others.join('; ')}`;
}
