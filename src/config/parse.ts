import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';

import { KvciError, ProblemsError } from '../core/errors.ts';
import { nearest } from '../core/names.ts';
import { type Config, configSchema } from './schema.ts';

interface Problem {
  readonly offset: number;
  readonly message: string;
  readonly hint?: string;
}

/** Reads the text of a kvci.yaml. @throws as {@link parseYaml} */
export function parseConfig(text: string, file: string): Config {
  return parseYaml(text, file, configSchema).written as Config;
}

/**
 * Reads YAML, which JSON is too, that a schema describes; `file` is how it is called in errors.
 *
 * @returns what the schema makes of it, and what was written
 * @throws ProblemsError `config-invalid`, one problem for each mistake as `file:line:column: message`
 */
export function parseYaml<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
): { readonly data: z.output<Schema>; readonly written: unknown } {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const syntax = document.errors.map((error): Problem => ({ offset: error.pos[0], message: error.message }));
  if (syntax.length > 0) throw invalid(file, lineCounter, syntax);
  const value: unknown = document.toJS() ?? {};
  const parsed = schema.safeParse(value);
  if (parsed.success) return { data: parsed.data, written: value };
  throw invalid(
    file,
    lineCounter,
    parsed.error.issues.flatMap((issue) => describeIssue(issue, document, schema)),
  );
}

function invalid(file: string, lines: LineCounter, problems: readonly Problem[]): ProblemsError {
  const errors = problems
    .toSorted((a, b) => a.offset - b.offset)
    .map(({ offset, message, hint }) => {
      const { line, col } = lines.linePos(offset);
      return new KvciError('usage', 'config-value', `${file}:${line}:${col}: ${message}`, {
        ...(hint === undefined ? {} : { hint }),
        facts: { file, line, column: col },
      });
    });
  const [first, ...rest] = errors;
  if (first === undefined) throw new KvciError('bug', 'config-no-problem', `${file} is refused without a reason`);
  return new ProblemsError('config-invalid', `${file} has ${errors.length === 1 ? 'a mistake' : `${errors.length} mistakes`}:`, [
    first,
    ...rest,
  ]);
}

/** What is wrong, without zod's own words in front. Of a key of a map zod says only that it is invalid, and why below that. */
export function issueMessage(issue: z.core.$ZodIssue): string {
  const [inner] = issue.code === 'invalid_key' ? issue.issues : [];
  const told = inner === undefined ? issue.message : `"${String(issue.path.at(-1))}": ${inner.message}`;
  return told.replace(/^Invalid (input|option): /, '');
}

function describeIssue(issue: z.core.$ZodIssue, document: Document, schema: z.ZodType): readonly Problem[] {
  const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
  const where = path.length === 0 ? '' : `${path.join('.')}: `;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const suggestion = nearest(key, knownKeys(schema, path));
      return {
        offset: keyOffset(document, path, key),
        message: `${where}unknown key "${key}"`,
        hint: suggestion === undefined ? `Known keys: ${knownKeys(schema, path).join(', ')}.` : `Did you mean "${suggestion}"?`,
      };
    });
  }
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  const problem = {
    offset: isNode(node) ? (node.range?.[0] ?? 0) : 0,
    message: `${where}${issueMessage(issue)}`,
  };
  const number = issue.code === 'invalid_type' && issue.expected === 'string' && isScalar(node) && typeof node.value === 'number';
  return [number ? { ...problem, hint: `Write it in quotes: "${node.source ?? String(node.value)}".` } : problem];
}

function keyOffset(document: Document, path: readonly (string | number)[], key: string): number {
  const map: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
  if (!isMap(map)) return 0;
  const pair = map.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
  return isNode(pair?.key) ? (pair.key.range?.[0] ?? 0) : 0;
}

/** The keys that the schema has at a path of objects. */
function knownKeys(of: z.ZodType, path: readonly (string | number)[]): string[] {
  let schema: unknown = of;
  for (const key of path) schema = shapeOf(schema)?.[String(key)];
  return Object.keys(shapeOf(schema) ?? {});
}

function shapeOf(schema: unknown): Readonly<Record<string, unknown>> | undefined {
  if (schema === null || typeof schema !== 'object') return undefined;
  if ('shape' in schema) return schema.shape as Readonly<Record<string, unknown>>;
  if ('unwrap' in schema && typeof schema.unwrap === 'function') return shapeOf((schema.unwrap as () => unknown).call(schema));
  return undefined;
}
