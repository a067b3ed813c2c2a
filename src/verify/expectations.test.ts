import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { parseYaml } from '../config/parse.ts';
import { ProblemsError } from '../core/errors.ts';
import { factsFileSchema } from './expectations.ts';
import { checkFactsFile } from './facts-file.ts';
import { FACTS } from './facts.ts';
import { NETWORK_CASES } from './network-cases.ts';

const PAGE = readFileSync(new URL('../../docs/verify.md', import.meta.url), 'utf8');

function problemsOf(text: string): readonly string[] {
  try {
    checkFactsFile(parseYaml(text, 'f.yaml', factsFileSchema).data, 'f.yaml');
  } catch (error) {
    if (!(error instanceof ProblemsError)) throw error;
    return error.problems.map(({ message, hint }) => (hint === undefined ? message : `${message} ${hint}`));
  }
  return [];
}

describe('a file of expectations', () => {
  it('may be empty', () => {
    expect(problemsOf('')).toEqual([]);
    expect(factsFileSchema.parse({})).toMatchObject({ clock: 2, skip: {}, facts: [] });
  });

  it('is right as the page shows it', () => {
    const example = /^```\n(skip:[^]*?)^```/m.exec(PAGE)?.[1] ?? '';
    expect(problemsOf(example)).toEqual([]);
    expect(parseYaml(example, 'f.yaml', factsFileSchema).data).toMatchObject({ sysctls: { 'vm.swappiness': '10' }, seconds: { ssh: 60 } });
  });

  it.each([
    ['skip: {reed-only: x}', ['f.yaml: skip: there is no fact or network case "reed-only" Did you mean "read-only"?']],
    ['skip: {read-only: ""}', ['f.yaml:1:19: skip.read-only: Too small: expected string to have >=1 characters']],
    ['unit: {}', ['f.yaml:1:1: unknown key "unit" Did you mean "units"?']],
    ['readOnly: [usr]', ['f.yaml:1:12: readOnly.0: expected an absolute path without spaces']],
    ['writable: [/a/../b]', ['f.yaml:1:12: writable.0: expected a path without ".."']],
    ['ports: ["22"]', ['f.yaml:1:9: ports.0: expected a port such as tcp/22']],
    ['modules: [br-netfilter]', ['f.yaml:1:11: modules.0: expected the name of a kernel module with _ instead of -']],
    ["images: {'registry.k8s.io/pause:3.10': sha256:12}", ['f.yaml:1:40: images.registry.k8s.io/pause:3.10: not a sha256 digest']],
    ['facts: [{id: ports, title: t, run: [a], file: /a}]', ['f.yaml: facts: there is more than one fact "ports"']],
    ['facts: [{id: a, title: t, run: [a], file: /a, matches: "("}]', ['f.yaml:1:56: facts.0.matches: expected a regular expression']],
  ])('%s', (text, problems) => {
    expect(problemsOf(text)).toEqual(problems);
  });
});

describe('the page', () => {
  const rows = [...PAGE.matchAll(/^\| `([^`]+)` /gm)].map((match) => match[1] ?? '');

  it('lists every fact with the kinds it holds for', () => {
    for (const { id, on } of FACTS) expect(PAGE).toMatch(new RegExp(`^\\| \`${id}\` +\\| ${on.includes('container') ? 'c' : ' '} `, 'm'));
  });

  it('lists every network, every key, and nothing that there is not', () => {
    const known = [...FACTS.map(({ id }) => id), ...NETWORK_CASES.map(({ name }) => name), ...Object.keys(factsFileSchema.shape)];
    expect(rows.toSorted()).toEqual(known.toSorted());
  });
});
