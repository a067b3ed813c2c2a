import Handlebars from 'handlebars';

import { KvciError } from './errors.ts';
import { shellQuote } from './shell.ts';

/** Template sources by name (`base/debian-13`, `partials/kernel`), without `.hbs`. */
export type TemplateSources = ReadonlyMap<string, string>;

/** A view is data only; every identifier a template uses must be one of its own properties. */
export type View = object;

/**
 * Renders one template strictly: no HTML escaping, own properties only, and an identifier that the view lacks is an error
 * also inside `{{#if}}` and `{{#each}}`, where Handlebars' own strict mode stays silent.
 *
 * Helpers: `shq` (shell word), `json`, `join list sep`, `eq a b`.
 *
 * @throws KvciError `template-missing`, `template-unknown-name`
 */
export function renderTemplate(sources: TemplateSources, name: string, view: View): string {
  const engine = Handlebars.create();
  engine.registerHelper({
    shq: (word: unknown) => shellQuote(String(word)),
    json: (value: unknown) => JSON.stringify(value),
    join: (list: readonly string[], separator: string) => list.join(separator),
    eq: (a: unknown, b: unknown) => a === b,
  });
  for (const [partial, source] of sources) engine.registerPartial(partial, source);
  const source = sources.get(name);
  if (source === undefined) throw new KvciError('bug', 'template-missing', `no template named "${name}"`);
  const problems = unknownNames(sources, name, view);
  if (problems.length > 0) {
    throw new KvciError('bug', 'template-unknown-name', `${name}: the view has no ${problems.map((problem) => `"${problem}"`).join(', ')}`);
  }
  return engine.compile(source, { strict: true, noEscape: true, preventIndent: true })(view);
}

const HELPERS = new Set(['if', 'unless', 'each', 'with', 'lookup', 'shq', 'json', 'join', 'eq']);

/**
 * The top-level identifiers that a template and its partials use and the view does not have. Names below `each` and `with`
 * blocks are looked up in their items by Handlebars' strict mode, so only paths from the root are checked here.
 */
export function unknownNames(sources: TemplateSources, name: string, view: View): string[] {
  const unknown = new Set<string>();
  const seen = new Set<string>();
  const visitTemplate = (templateName: string): void => {
    if (seen.has(templateName)) return;
    seen.add(templateName);
    const source = sources.get(templateName);
    if (source === undefined) throw new KvciError('bug', 'template-missing', `no template named "${templateName}"`);
    new Collector(visitTemplate, view, unknown).accept(Handlebars.parse(source));
  };
  visitTemplate(name);
  return [...unknown].toSorted();
}

class Collector extends Handlebars.Visitor {
  readonly #visitTemplate: (name: string) => void;
  readonly #view: View;
  readonly #unknown: Set<string>;
  #depth = 0;

  constructor(visitTemplate: (name: string) => void, view: View, unknown: Set<string>) {
    super();
    this.#visitTemplate = visitTemplate;
    this.#view = view;
    this.#unknown = unknown;
  }

  override PathExpression(path: hbs.AST.PathExpression): void {
    const [first, ...rest] = path.parts as readonly string[];
    if (first === undefined || path.data || HELPERS.has(first)) return;
    const fromRoot = path.depth === this.#depth;
    if (!fromRoot) return;
    let value: unknown = this.#view;
    for (const part of [first, ...rest]) {
      if (value === null || typeof value !== 'object' || !Object.hasOwn(value, part)) {
        this.#unknown.add([first, ...rest].join('.'));
        return;
      }
      value = (value as Readonly<Record<string, unknown>>)[part];
    }
  }

  override BlockStatement(block: hbs.AST.BlockStatement): void {
    const helper = block.path.original;
    for (const param of block.params) this.accept(param);
    const scoped = helper === 'each' || helper === 'with';
    if (scoped) this.#depth += 1;
    this.accept(block.program);
    if (scoped) this.#depth -= 1;
    this.accept(block.inverse);
  }

  override PartialStatement(partial: hbs.AST.PartialStatement): void {
    // The name of a partial is not a name in the view.
    if (partial.name.type === 'PathExpression' && 'original' in partial.name) {
      if (this.#depth === 0) this.#visitTemplate(partial.name.original);
    } else this.accept(partial.name);
    for (const param of partial.params) this.accept(param);
    this.accept(partial.hash);
  }
}
