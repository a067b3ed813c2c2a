import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

import { IO_LIBRARIES, mayImport, type Room, ROOMS } from './test/architecture/rules.ts';

const IMPURE_GLOBALS = [
  { object: 'process', property: 'env', message: 'Only main.ts and src/wiring/ read the environment.' },
  { object: 'process', property: 'exit', message: 'Throw a KvciError; main.ts decides the exit code.' },
  { object: 'Date', property: 'now', message: 'Take a Clock.' },
];

/** No clock but the one that is handed in; nothing is taken on faith outside of tests. */
const RESTRICTED_SYNTAX = [
  { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Take a Clock.' },
  { selector: 'TSNonNullExpression', message: 'No non-null assertions outside tests.' },
];

interface Restriction {
  readonly selector: string;
  readonly message: string;
}

/** What a room's files may not contain: every way of importing a room that this one may not, and what no file may. */
function restrictions(room: Room): ['error', ...Restriction[]] {
  const imports = ROOMS.filter((other) => !mayImport(room, other)).flatMap((other) => {
    const source = `/^(\\.\\.\\u002f)+${other}\\u002f/`;
    return [
      `:matches(ImportDeclaration, ExportNamedDeclaration, ExportAllDeclaration, ImportExpression)[source.value=${source}]`,
      `TSImportType[source.value=${source}]`,
    ].map((selector) => ({ selector, message: `${room} must not import from ${other}.` }));
  });
  return ['error', ...RESTRICTED_SYNTAX, ...imports];
}

export default defineConfig(
  { ignores: ['node_modules/', 'dist/', '.install/'] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      'no-console': 'error',
      'max-lines': ['error', { max: 320, skipBlankLines: true, skipComments: true }],
      eqeqeq: 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  { files: ['*.config.ts'], rules: { 'no-restricted-exports': 'off' } },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/main.ts', 'src/wiring/**', 'src/host/clock.ts', 'src/**/*.test.ts'],
    rules: { 'no-restricted-properties': ['error', ...IMPURE_GLOBALS] },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/host/adapters/**', 'src/**/*.test.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { paths: IO_LIBRARIES.map((name) => ({ name, message: 'Only its adapter in src/host/adapters imports it.' })) },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/wiring/**', 'src/host/adapters/**', 'src/**/*.test.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: [{ group: ['**/adapters/*'], message: 'Only src/wiring/ imports adapters.' }] },
      ],
    },
  },
  { files: ['src/*.ts'], rules: { 'no-restricted-syntax': ['error', ...RESTRICTED_SYNTAX] } },
  ...ROOMS.map((room) => ({
    files: [`src/${room}/**/*.ts`],
    ignores: ['src/**/*.test.ts', 'src/host/clock.ts'],
    rules: { 'no-restricted-syntax': restrictions(room) },
  })),
  { files: ['**/*.test.ts', 'test/**/*.ts'], rules: { '@typescript-eslint/no-non-null-assertion': 'off' } },
);
