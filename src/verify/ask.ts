import { randomBytes } from 'node:crypto';

import type { Clock } from '../core/clock.ts';
import { KvciError } from '../core/errors.ts';
import { shellLine, shellQuote } from '../core/shell.ts';
import type { CommandRunner } from '../host/types.ts';
import type { Answer, Look, Question } from './types.ts';

/** For a hang: the slowest question waits for the end of a boot under emulation. */
const ASK_DEADLINE_MS = 10 * 60_000;

/** What question scripts may use: a file's text without a process, as every process costs an emulated node up to a second. */
const FUNCTIONS = `show() { [ -r "$1" ] || return 1; local text; text=$(<"$1") && printf '%s\\n' "$text"; } 2>/dev/null`;

/** A command as a question. */
export function command(name: string, ...argv: readonly [string, ...string[]]): Question {
  return { name, script: shellLine(argv) };
}

/** A text file as a question; its answer has exit code 1 where there is none. */
export function file(path: string): Question {
  return { name: path, script: `show ${shellQuote(path)}` };
}

/**
 * All questions as one script for `bash -s`: a node is asked in one round trip. Questions run one after the other, each in a
 * subshell.
 *
 * @param mark a word that no answer holds
 */
export function questionScript(questions: readonly Question[], mark: string): string {
  return [
    FUNCTIONS,
    ...questions.flatMap(({ name, script }) => [
      `echo ${mark} begin ${shellQuote(name)}`,
      `( ${script}\n) 2>&1 </dev/null`,
      `printf '\\n${mark} end %s\\n' "$?"`,
    ]),
    '',
  ].join('\n');
}

/** The answers in what the script of {@link questionScript} printed; those that are missing or torn are left out. */
export function parseAnswers(output: string, mark: string): ReadonlyMap<string, Answer> {
  const answers = new Map<string, Answer>();
  for (const part of output.split(`${mark} begin `).slice(1)) {
    const nameEnd = part.indexOf('\n');
    const textEnd = part.lastIndexOf(`\n${mark} end `);
    if (nameEnd === -1 || textEnd === -1) continue;
    const exitCode = Number.parseInt(part.slice(textEnd + `\n${mark} end `.length), 10);
    answers.set(part.slice(0, nameEnd), { text: part.slice(nameEnd + 1, textEnd), exitCode });
  }
  return answers;
}

/** Each question once, in order of its first place. */
export function distinct(questions: readonly Question[]): readonly Question[] {
  return [...new Map(questions.map((question) => [question.name, question])).values()];
}

/**
 * Asks a node everything in one round trip.
 *
 * @throws KvciError `no-answer` when the script ends before the last question, and what the node throws
 */
export async function ask(node: CommandRunner, questions: readonly Question[], clock: Clock, signal: AbortSignal): Promise<Look> {
  const all = distinct(questions);
  const mark = `--kvci-${randomBytes(8).toString('hex')}`;
  const from = clock.now();
  const { stdout, stderr } = await node.run(['bash', '-s'], {
    stdin: questionScript(all, mark),
    timeoutMs: ASK_DEADLINE_MS,
    signal,
  });
  const answers = parseAnswers(stdout, mark);
  const missing = all.filter(({ name }) => !answers.has(name));
  if (missing.length > 0) {
    throw new KvciError('failed', 'no-answer', `${node.where} did not answer ${missing.map(({ name }) => name).join(', ')}`, {
      ...(stderr.trim() === '' ? {} : { hint: stderr.trim() }),
    });
  }
  return { answers, from, to: clock.now() };
}

/** What a look holds for a question. @throws KvciError (a bug of ours) for one that was not asked */
export function answerTo({ answers }: Pick<Look, 'answers'>, { name }: Pick<Question, 'name'>): Answer {
  const answer = answers.get(name);
  if (answer === undefined) throw new KvciError('bug', 'not-asked', `nobody asked "${name}"`);
  return answer;
}

/** Lines of an answer, without blank ones. */
export function linesOf({ text }: Pick<Answer, 'text'>): readonly string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

/** An answer in a sentence: its last few lines, or its exit code where it has none. */
export function shown({ text, exitCode }: Answer): string {
  const lines = linesOf({ text });
  return lines.length === 0 ? `nothing (exit code ${exitCode})` : lines.slice(-SHOWN_LINES).join('\n');
}

const SHOWN_LINES = 6;
