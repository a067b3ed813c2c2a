import { styleText } from 'node:util';

import { type KvciError, ProblemsError } from '../../core/errors.ts';

export interface ErrorDocument {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly exitCode: number;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly problems?: readonly ErrorDocument[];
}

/** A failure for people (stderr) or for scripts (`{"error": ...}`, one document on stdout). */
export function renderError(error: KvciError, format: 'text' | 'json', color: boolean): string {
  return format === 'json' ? `${JSON.stringify({ error: errorDocument(error) }, null, 2)}\n` : errorText(error, color);
}

function errorDocument(error: KvciError): ErrorDocument {
  return {
    code: error.code,
    message: error.message,
    hint: error.hint ?? null,
    exitCode: error.exitCode,
    facts: error.facts,
    ...(error instanceof ProblemsError ? { problems: error.problems.map(errorDocument) } : {}),
  };
}

function errorText(error: KvciError, color: boolean): string {
  const paint = (style: 'red' | 'cyan', text: string): string => (color ? styleText(style, text, { validateStream: false }) : text);
  const lines = [`${paint('red', 'kvci:')} ${error.message}`];
  if (error instanceof ProblemsError) {
    for (const problem of error.problems) {
      lines.push(`  - ${problem.message.replaceAll('\n', '\n    ')}`);
      if (problem.hint !== undefined) lines.push(`    ${paint('cyan', 'hint:')} ${problem.hint}`);
    }
  }
  if (error.reason === 'bug') lines.push(stackOf(error));
  if (error.hint !== undefined) lines.push(`${paint('cyan', 'hint:')} ${error.hint}`);
  return `${lines.join('\n')}\n`;
}

function stackOf(error: KvciError): string {
  const source = error.cause instanceof Error ? error.cause : error;
  const frames = (source.stack ?? '').split('\n').filter((line) => line.startsWith('    at '));
  return frames.join('\n');
}
