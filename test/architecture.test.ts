import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

import { ROOMS } from './architecture/rules.ts';
import { violations } from './architecture/violations.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const sources = new Map(globSync('src/**/*.ts', { cwd: root }).map((path) => [path, readFileSync(join(root, path), 'utf8')]));

test('imports point backwards only', () => {
  expect(sources.size).toBeGreaterThan(50);
  expect(violations(sources)).toEqual([]);
});

test('every folder of src/ is a room, or what connects them', () => {
  const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map((folder) => folder.name).filter((name) => name !== 'wiring' && !(ROOMS as readonly string[]).includes(name))).toEqual(
    [],
  );
});

describe('a wrong import is found', () => {
  test.each([
    ['src/core/x.ts', `import { a } from '../host/y.ts';`, 'src/core/x.ts:1: core must not import from host'],
    ['src/image/x.ts', `\nexport { a } from '../cli/y.ts';`, 'src/image/x.ts:2: image must not import from cli'],
    ['src/oci/deep/x.ts', `const a = await import('../../sandbox/y.ts');`, 'src/oci/deep/x.ts:1: oci must not import from sandbox'],
    ['src/host/x.ts', `import type { A } from '../payload/y.ts';`, 'src/host/x.ts:1: host must not import from payload'],
    ['src/host/x.ts', `let a: import('../distro/y.ts').A;`, 'src/host/x.ts:1: host must not import from distro'],
    ['src/cluster/x.ts', `import { a } from '../verify/y.ts';`, 'src/cluster/x.ts:1: cluster must not import from verify'],
    ['src/report/x.ts', `import { a } from '../image/y.ts';`, 'src/report/x.ts:1: report must not import from image'],
    ['src/image/x.ts', `import { a } from '../host/adapters/y.ts';`, 'src/image/x.ts:1: only src/wiring/ imports adapters'],
    ['src/image/x.ts', `import { a } from '../wiring.ts';`, 'src/image/x.ts:1: nothing imports src/wiring.ts'],
    ['src/image/x.ts', `import { a } from '../../test/y.ts';`, 'src/image/x.ts:1: ../../test/y.ts lies outside of src/'],
    ['src/image/x.ts', `import { execa } from 'execa';`, 'src/image/x.ts:1: execa belongs to its adapter'],
    ['src/image/x.ts', `import { Command } from 'commander';`, 'src/image/x.ts:1: commander belongs to src/cli/'],
    ['src/core/x.ts', `import { readFile } from 'node:fs/promises';`, 'src/core/x.ts:1: core does no I/O'],
    ['src/image/index.ts', `export const a = 1;`, 'src/image/index.ts: barrels hide where things are'],
  ])('%s: %s', (path, source, problem) => {
    expect(violations(new Map([[path, source]]))).toEqual([problem]);
  });

  test('two adapters of one library', () => {
    const files = ['src/host/adapters/a.ts', 'src/host/adapters/b.ts'].map((path) => [path, `import { execa } from 'execa';`] as const);
    expect(violations(new Map(files))).toEqual(['execa has more than one adapter: src/host/adapters/a.ts, src/host/adapters/b.ts']);
  });

  test('a cycle; imports of types make none', () => {
    const cycle = new Map([
      ['src/core/a.ts', `import { b } from './b.ts';`],
      ['src/core/b.ts', `import { a } from './a.ts';`],
    ]);
    expect(violations(cycle)).toEqual(['import cycle: src/core/a.ts -> src/core/b.ts -> src/core/a.ts']);
    const types = new Map([
      ['src/core/a.ts', `import { b } from './b.ts';`],
      ['src/core/b.ts', `import { type A } from './a.ts'; import type { A2 } from './a.ts';`],
    ]);
    expect(violations(types)).toEqual([]);
  });

  test('tests and wiring may', () => {
    const files = [
      ['src/core/x.test.ts', `import { a } from '../cli/y.ts'; import { execa } from 'execa';`],
      ['src/wiring/host.ts', `const a = await import('../host/adapters/y.ts');`],
    ] as const;
    expect(violations(new Map(files))).toEqual([]);
  });
});
