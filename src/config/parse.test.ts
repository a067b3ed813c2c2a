import { describe, expect, test } from 'vitest';

import { ProblemsError } from '../core/errors.ts';
import { parseConfig } from './parse.ts';

function problems(text: string): string[] {
  try {
    parseConfig(text, 'kvci.yaml');
  } catch (error) {
    if (error instanceof ProblemsError) return error.problems.map((problem) => [problem.message, problem.hint].filter(Boolean).join(' | '));
    throw error;
  }
  return [];
}

test('the file stays as it is: no defaults are filled in', () => {
  expect(parseConfig('image: { k8s: "1.31", files: ["a:/etc/a"] }\ncache: { keep: 20G }\n', 'kvci.yaml')).toEqual({
    image: { k8s: '1.31', files: ['a:/etc/a'] },
    cache: { keep: '20G' },
  });
});

test.each(['', '# nothing\n', '---\n'])('an empty file (%j) says nothing', (text) => {
  expect(parseConfig(text, 'kvci.yaml')).toEqual({});
});

describe('mistakes have a place', () => {
  test.each([
    { text: 'image:\n  k8s: 1.30\n', told: ['kvci.yaml:2:8: image.k8s: expected string, received number | Write it in quotes: "1.30".'] },
    { text: 'image:\n  bsae: x\n', told: ['kvci.yaml:2:3: image: unknown key "bsae" | Did you mean "base"?'] },
    {
      text: 'zzzzzz: 1\n',
      told: ['kvci.yaml:1:1: unknown key "zzzzzz" | Known keys: image, disk, cluster, engine, tools, mirrors, cache.'],
    },
    { text: 'image: [1]\n', told: ['kvci.yaml:1:8: image: expected object, received array'] },
    { text: '- 1\n', told: ['kvci.yaml:1:1: expected object, received array'] },
    { text: 'image:\n  k8s: "1.9"\n', told: ['kvci.yaml:2:8: image.k8s: Kubernetes 1.9 is older than 1.31, the oldest that kvci builds'] },
    { text: 'cache:\n  keep: much\n', told: ['kvci.yaml:2:9: cache.keep: "much" is not a size such as 20G'] },
    {
      text: 'image:\n  packages:\n    - tcpdump\n    - "a b"\n    - 7\n',
      told: [
        'kvci.yaml:4:7: image.packages.1: not a package name',
        'kvci.yaml:5:7: image.packages.2: expected string, received number | Write it in quotes: "7".',
      ],
    },
    {
      text: 'image:\n  labels:\n    a b: c\n',
      told: ['kvci.yaml:3:10: image.labels.a b: "a b": the key of a label is printable ASCII without spaces and "="'],
    },
    { text: 'image:\n  k8s: "1.31"\n  k8s: "1.32"\n', told: ['kvci.yaml:3:3: Map keys must be unique'] },
    { text: 'image: {\n', told: ['kvci.yaml:2:1: Flow map in block collection must be sufficiently indented and end with a }'] },
    { text: 'a: 1\n---\nb: 2\n', told: [expect.stringMatching(/^kvci\.yaml:2:1: .*multiple documents/) as string] },
  ])('$text', ({ text, told }) => {
    expect(problems(text)).toEqual(told);
  });
});
