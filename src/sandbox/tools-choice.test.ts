import { describe, expect, test } from 'vitest';

import { chooseToolsWay, parseToolsChoice } from './tools-choice.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as const;

describe('parseToolsChoice', () => {
  test.each([
    ['auto', { kind: 'auto' }],
    ['packages', { kind: 'packages' }],
    ['engine', { kind: 'engine' }],
    [`quay.io/org/tools@${DIGEST}`, { kind: 'image', ref: `quay.io/org/tools@${DIGEST}`, digest: DIGEST }],
    [`quay.io/org/tools:1@${DIGEST}`, { kind: 'image', ref: `quay.io/org/tools:1@${DIGEST}`, digest: DIGEST }],
  ])('%s', (text, choice) => {
    expect(parseToolsChoice(text)).toEqual(choice);
  });

  test.each(['', 'quay.io/org/tools:1', 'docker', 'Bad/Name', `x@${DIGEST}0`])('refuses "%s"', (text) => {
    expect(() => parseToolsChoice(text)).toThrow(expect.objectContaining({ code: 'bad-tools', exitCode: 2 }));
  });
});

describe('chooseToolsWay', () => {
  const choose = async (text: string, mmdebstrap: string | undefined, engine: string | undefined) => {
    const asked: string[] = [];
    const answer = (name: string, value: string | undefined) => (): Promise<string | undefined> => {
      asked.push(name);
      return Promise.resolve(value);
    };
    const host = { mmdebstrap: answer('mmdebstrap', mmdebstrap), engine: answer('engine', engine) };
    const chosen = await chooseToolsWay(parseToolsChoice(text), host).catch((error: unknown) => error);
    return { chosen, asked };
  };

  test.each([
    ['auto', 'mmdebstrap 1', 'docker 28', 'packages', 'made of Debian packages with mmdebstrap 1', ['mmdebstrap']],
    ['auto', undefined, 'docker 28', 'engine', 'built by docker 28: mmdebstrap is not installed', ['mmdebstrap', 'engine']],
    ['packages', 'mmdebstrap 1', 'docker 28', 'packages', 'made of Debian packages with mmdebstrap 1', ['mmdebstrap']],
    ['engine', 'mmdebstrap 1', 'docker 28', 'engine', 'built by docker 28', ['engine']],
    [`q.io/t@${DIGEST}`, 'mmdebstrap 1', 'docker 28', 'image', `pulled as q.io/t@${DIGEST}`, []],
  ])('%s with %s and %s', async (text, mmdebstrap, engine, way, line, order) => {
    expect(await choose(text, mmdebstrap, engine)).toEqual({ chosen: { way, line }, asked: order });
  });

  test.each([
    ['auto', 'mmdebstrap is not installed and no container engine runs', undefined, undefined],
    ['packages', 'mmdebstrap is not installed', undefined, 'docker 28'],
    ['engine', 'no container engine runs', 'mmdebstrap 1', undefined],
  ])('%s: %s', async (text, reason, mmdebstrap, engine) => {
    expect((await choose(text, mmdebstrap, engine)).chosen).toMatchObject({
      code: 'no-tools-maker',
      exitCode: 3,
      message: `the tools image cannot be made: ${reason}`,
    });
  });
});
