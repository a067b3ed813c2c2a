import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';

import type { Act } from '../src/cli/command.ts';
import { buildProgram } from '../src/cli/program.ts';
import { parseConfig } from '../src/config/parse.ts';
import { EXIT_CODES } from '../src/core/errors.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: root })].map((path) => ({
  path,
  text: readFileSync(join(root, path), 'utf8'),
}));

/** Fenced blocks of a page by language, and what is left of it without them. */
function blocksOf(text: string): {
  readonly blocks: readonly { readonly language: string; readonly lines: readonly string[] }[];
  readonly prose: string;
} {
  // Every second part between fences is inside of them.
  const parts = text.split(/^```/m);
  const inside = parts.filter((_, index) => index % 2 === 1).map((part) => part.split('\n'));
  return {
    blocks: inside.map(([language = '', ...lines]) => ({ language, lines })),
    prose: parts.filter((_, index) => index % 2 === 0).join('\n'),
  };
}

/** The words of every `kvci ...` command line in shell blocks and in inline code, without comments and redirections. */
function commandLines(text: string): string[][] {
  const { blocks, prose } = blocksOf(text);
  const inline = [...prose.matchAll(/`((?:\.\/)?kvci [^`]+)`/g)].map((match) => match[1] ?? '');
  return [...blocks.filter(({ language }) => language === 'sh').flatMap(({ lines }) => lines), ...inline].flatMap((line) => {
    const match = /(?:^|\s|\()(?:\.\/)?kvci ([^>|)]*)/.exec(line.replace(/#.*/, ''));
    return match === null ? [] : [(match[1] ?? '').trim().split(/\s+/)];
  });
}

/** Parses a command line against the real tree; nothing is run. Undefined when it is right. */
async function mistake(words: readonly string[]): Promise<string | undefined> {
  const act: Act = () => () => Promise.resolve();
  const program = await buildProgram('0', act, { write: () => undefined, color: false, columns: 100 }, () => true);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return undefined;
  } catch (error) {
    return error instanceof Error && !('exitCode' in error && error.exitCode === 0) ? error.message : undefined;
  }
}

const documented = pages.flatMap(({ path, text }) => commandLines(text).map((words) => ({ path, words, line: words.join(' ') })));

test('the pages show commands', () => {
  expect(documented.length).toBeGreaterThan(20);
});

test.each(documented)('$path: kvci $line', async ({ words }) => {
  expect(await mistake(words)).toBeUndefined();
});

test('a wrong command line is found', async () => {
  expect(await mistake(['image', 'biuld'])).toContain('unknown command');
  expect(await mistake(['image', 'build', '--bsae', 'x'])).toContain('unknown option');
  expect(await mistake(['image', 'inspect'])).toContain('missing required argument');
});

describe('examples of --help', async () => {
  const act: Act = () => () => Promise.resolve();
  const help: string[] = [];
  const program = await buildProgram('0', act, { write: (text) => help.push(text), color: false, columns: 200 }, () => true);
  const walk = (command: Command): void => {
    command.outputHelp();
    for (const child of command.commands) walk(child);
  };
  walk(program);
  const lines = [...help.join('').matchAll(/^ {2}\$ kvci ([^#>]*)/gm)].map((match) => (match[1] ?? '').trim());

  test.each([...new Set(lines)])('kvci %s', async (line) => {
    expect(await mistake(line.split(/\s+/))).toBeUndefined();
  });
});

test.each(pages)('$path: links lead somewhere', ({ path, text }) => {
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] ?? '');
  expect(links.filter((link) => !existsSync(join(root, dirname(path), link)))).toEqual([]);
});

test.each(pages)('$path: make targets exist', ({ text }) => {
  const makefile = readFileSync(join(root, 'Makefile'), 'utf8');
  const targets = [...text.matchAll(/(?:`|^)make ([a-z-]+)/gm)].map((match) => match[1] ?? '');
  expect(targets.filter((target) => !new RegExp(`^${target}:`, 'm').test(makefile))).toEqual([]);
});

test('YAML examples are valid', () => {
  const examples = pages.flatMap(({ path, text }) =>
    blocksOf(text)
      .blocks.filter(({ language }) => language === 'yaml')
      .map(({ lines }) => parseConfig(lines.join('\n'), path)),
  );
  expect(examples.length).toBeGreaterThan(0);
});

test('docs/errors.md lists every exit code', () => {
  const text = pages.find(({ path }) => path === 'docs/errors.md')?.text ?? '';
  const listed = [...text.matchAll(/^\| (\d+) /gm)].map((match) => Number(match[1]));
  expect(listed).toEqual(Object.values(EXIT_CODES));
});
