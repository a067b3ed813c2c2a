import tseslint from 'typescript-eslint';

/** The rooms of `src/`, right to left: a room imports only from rooms before it in this list. */
export const ROOMS = [
  'core',
  'host',
  'oci',
  'sandbox',
  'distro',
  'payload',
  'image',
  'disk',
  'machine',
  'verify',
  'cluster',
  'snapshot',
  'release',
  'compat',
  'config',
  'cli',
] as const;

const IMPURE_GLOBALS = [
  { object: 'process', property: 'env', message: 'Only main.ts and wiring.ts read the environment.' },
  { object: 'process', property: 'exit', message: 'Throw a KvciError; main.ts decides the exit code.' },
  { object: 'Date', property: 'now', message: 'Take a Clock.' },
];

/** Third-party libraries that do I/O: each belongs to one adapter. */
const IO_LIBRARIES = ['execa', 'dockerode', 'undici', 'tar-stream', 'ssh2', '@kubernetes/client-node'];

export default tseslint.config(
  { ignores: ['node_modules/', 'dist/'] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
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
    },
  },
  { files: ['*.config.ts'], rules: { 'no-restricted-exports': 'off' } },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/main.ts', 'src/wiring.ts', 'src/host/clock.ts', 'src/**/*.test.ts'],
    rules: { 'no-restricted-properties': ['error', ...IMPURE_GLOBALS] },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/host/adapters/**', 'src/**/*.test.ts'],
    rules: { 'no-restricted-imports': ['error', { paths: IO_LIBRARIES.map((name) => ({ name, message: 'Only its adapter in src/host/adapters imports it.' })) }] },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/wiring.ts', 'src/host/adapters/**', 'src/**/*.test.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': ['error', { patterns: [{ group: ['**/adapters/*'], message: 'Only wiring.ts imports adapters.' }] }],
    },
  },
  ...ROOMS.map((room, index) => ({
    files: [`src/${room}/**/*.ts`],
    ignores: ['src/**/*.test.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ...ROOMS.slice(index + 1).map((later) => ({
          selector: `ImportDeclaration[source.value=/^\\.\\.(\\u002f\\.\\.)*\\u002f${later}\\u002f/]`,
          message: `${room} must not import from ${later}: imports point backwards only.`,
        })),
        { selector: 'TSNonNullExpression', message: 'No non-null assertions outside tests.' },
      ],
    },
  })),
  { files: ['**/*.test.ts', 'test/**/*.ts'], rules: { '@typescript-eslint/no-non-null-assertion': 'off' } },
);
