import Handlebars from 'handlebars';

import { KvciError } from './errors.ts';
import { shellQuote } from './shell.ts';
import { templateSource } from './template-source.ts';

/** Template sources by name (`base/debian-13`, `partials/kernel`), without `.hbs`. */
export type TemplateSources = ReadonlyMap<string, string>;

/** A view is data only; every identifier a template uses must be one of its own properties. */
export type View = object;

/**
 * Renders one template strictly: no HTML escaping, own properties only, and an identifier that the view lacks is an error
 * also inside `{{#if}}`, `{{#each}}` and in arguments of helpers, where Handlebars' own strict mode stays silent.
 *
 * Helpers: `shq` (shell word), `json`, `join list sep`, `eq a b`.
 *
 * @throws KvciError `template-missing`, `template-unknown-name`, `template-bad-value`
 */
export function renderTemplate(sources: TemplateSources, name: string, view: View): string {
  const source = templateSource(sources, name);
  const problems = unknownNames(sources, name, view);
  if (problems.length > 0) {
    throw new KvciError('bug', 'template-unknown-name', `${name}: the view has no ${problems.map((problem) => `"${problem}"`).join(', ')}`);
  }
  const engine = Handlebars.create();
  engine.registerHelper(HELPERS);
  for (const [partial, partialSource] of sources) engine.registerPartial(partial, partialSource);
  return engine.compile(source, { strict: true, noEscape: true, preventIndent: true })(view);
}

const HELPERS = {
  shq: (word: unknown) => {
    if (typeof word === 'string' || typeof word === 'number') return shellQuote(String(word));
    throw new KvciError('bug', 'template-bad-value', `shq takes a text or a number, not ${typeof word}`);
  },
  json: (value: unknown) => JSON.stringify(value),
  join: (list: unknown, separator: string) => {
    if (Array.isArray(list)) return list.join(separator);
    throw new KvciError('bug', 'template-bad-value', `join takes a list, not ${typeof list}`);
  },
  eq: (a: unknown, b: unknown) => a === b,
};

const HELPER_NAMES = new Set(['if', 'unless', 'each', 'with', 'lookup', ...Object.keys(HELPERS)]);

/** What `@` names there are inside `each`. */
const EACH_DATA = new Set(['index', 'key', 'first', 'last']);

/**
 * The identifiers that a template and its partials use and the view does not have, sorted. Branches that are not rendered count
 * too; below `each` every item must have the name, below a value that is empty nothing is asked.
 *
 * @throws KvciError `template-missing`
 */
export function unknownNames(sources: TemplateSources, name: string, view: View): string[] {
  const unknown = new Set<string>();
  const open: string[] = [];
  const visit = (templateName: string, scopes: readonly Scope[]): void => {
    if (open.includes(templateName)) return;
    open.push(templateName);
    new NameChecker(visit, scopes, unknown).accept(Handlebars.parse(templateSource(sources, templateName)));
    open.pop();
  };
  visit(name, [{ contexts: [view], names: NO_NAMES }]);
  return [...unknown].toSorted();
}

/** What `this` may be at a place of a template, and the names that block parameters (`as |item|`) add. */
interface Scope {
  readonly contexts: readonly unknown[];
  readonly names: ReadonlyMap<string, readonly unknown[]>;
}

const NO_NAMES: Scope['names'] = new Map();

type VisitTemplate = (name: string, scopes: readonly Scope[]) => void;

class NameChecker extends Handlebars.Visitor {
  readonly #visitTemplate: VisitTemplate;
  readonly #unknown: Set<string>;
  /** The view first, the innermost block last. */
  readonly #scopes: Scope[];

  constructor(visitTemplate: VisitTemplate, scopes: readonly Scope[], unknown: Set<string>) {
    super();
    this.#visitTemplate = visitTemplate;
    this.#scopes = [...scopes];
    this.#unknown = unknown;
  }

  override PathExpression(path: hbs.AST.PathExpression): void {
    if (!isHelper(path)) this.#valuesOf(path);
  }

  override BlockStatement(block: hbs.AST.BlockStatement): void {
    this.accept(block.path);
    for (const param of block.params) this.accept(param);
    this.accept(block.hash);
    const [param] = block.params;
    const helper = block.path.original;
    if ((helper === 'each' || helper === 'with') && param !== undefined) {
      const values = this.#valuesOf(param);
      const contexts = helper === 'each' ? values.flatMap(itemsOf) : values.filter((value) => !isEmpty(value));
      // Absent, whatever the type says, where a block has none; as `hash` below.
      const [item] = (block.program.blockParams as string[] | undefined) ?? [];
      this.#within({ contexts, names: new Map(item === undefined ? [] : [[item, contexts]]) }, () => this.accept(block.program));
    } else {
      this.accept(block.program);
    }
    this.accept(block.inverse);
  }

  override PartialStatement(partial: hbs.AST.PartialStatement): void {
    for (const param of partial.params) this.accept(param);
    this.accept(partial.hash);
    // The name of a partial is not a name in the view; one that is computed cannot be followed.
    if (partial.name.type !== 'PathExpression' || !('original' in partial.name)) {
      this.accept(partial.name);
      return;
    }
    const [param] = partial.params;
    const contexts = param === undefined ? (this.#scopes.at(-1)?.contexts ?? []) : this.#valuesOf(param);
    const pairs = (partial.hash as hbs.AST.Hash | undefined)?.pairs ?? [];
    const added = Object.fromEntries(pairs.map((pair) => [pair.key, this.#valuesOf(pair.value)[0]]));
    const scope = {
      contexts: pairs.length === 0 ? contexts : contexts.map((context) => Object.assign({}, context, added)),
      names: NO_NAMES,
    };
    // A partial does not see the block parameters around it.
    this.#visitTemplate(partial.name.original, [...this.#scopes.slice(0, -1).map((outer) => ({ ...outer, names: NO_NAMES })), scope]);
  }

  #within(scope: Scope, visit: () => void): void {
    this.#scopes.push(scope);
    visit();
    this.#scopes.pop();
  }

  /** All values that an expression may have here; a name that one of its contexts lacks is noted. */
  #valuesOf(expression: hbs.AST.Expression): readonly unknown[] {
    if (expression.type !== 'PathExpression') return 'value' in expression ? [expression.value] : [];
    const path = expression as hbs.AST.PathExpression;
    const parts = path.parts as readonly string[];
    const [first = '', ...rest] = parts;
    if (path.data) {
      if (first === 'root') return this.#follow(path, this.#scopes[0]?.contexts ?? [], rest);
      if (!EACH_DATA.has(first)) this.#unknown.add(path.original);
      return [];
    }
    const scope = this.#scopes.at(-1 - path.depth);
    const named =
      path.depth === 0 && !/^(this|\.)/.test(path.original) ? this.#scopes.findLast(({ names }) => names.has(first)) : undefined;
    if (named !== undefined) return this.#follow(path, named.names.get(first) ?? [], rest);
    if (scope === undefined) this.#unknown.add(path.original);
    return this.#follow(path, scope?.contexts ?? [], parts);
  }

  #follow(path: hbs.AST.PathExpression, from: readonly unknown[], parts: readonly string[]): readonly unknown[] {
    let values = from;
    for (const part of parts) {
      const next: unknown[] = [];
      for (const value of values) {
        if (value === undefined || value === null || value === false) continue;
        if (typeof value === 'object' && Object.hasOwn(value, part)) next.push((value as Readonly<Record<string, unknown>>)[part]);
        else this.#unknown.add(path.original);
      }
      values = next;
    }
    return values;
  }
}

function isHelper(path: hbs.AST.PathExpression): boolean {
  return !path.data && path.depth === 0 && path.parts.length === 1 && HELPER_NAMES.has(path.original);
}

function itemsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'object' && value !== null ? Object.values(value) : [];
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === false || value === '' || (Array.isArray(value) && value.length === 0);
}
