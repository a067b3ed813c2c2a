import { expect, test } from 'vitest';

import { renderTemplate, unknownNames } from './template.ts';

const render = (source: string, view: object, partials: Record<string, string> = {}): string =>
  renderTemplate(new Map([['main', source], ...Object.entries(partials)]), 'main', view);

const unknown = (source: string, view: object, partials: Record<string, string> = {}): string[] =>
  unknownNames(new Map([['main', source], ...Object.entries(partials)]), 'main', view);

test.each([
  ['a name', 'FROM {{image}}', { image: 'x' }, 'FROM x'],
  ['no HTML escaping', '{{a}}', { a: `<"&'>` }, `<"&'>`],
  ['a shell word', 'RUN echo {{shq a}} {{shq n}}', { a: "it's", n: 5 }, `RUN echo 'it'\\''s' 5`],
  ['JSON', 'LABEL x={{json a}}', { a: { b: ['c'] } }, 'LABEL x={"b":["c"]}'],
  ['a list', "{{join list ' '}}", { list: ['a', 'b'] }, 'a b'],
  ['a comparison', '{{#if (eq a "x")}}yes{{else}}no{{/if}}', { a: 'x' }, 'yes'],
  ['items', '{{#each list}}{{name}}{{#unless @last}},{{/unless}}{{/each}}', { list: [{ name: 'a' }, { name: 'b' }] }, 'a,b'],
  ['items of texts', '{{#each list}}{{this}};{{/each}}', { list: ['a', 'b'] }, 'a;b;'],
  ['an empty list', '{{#each list}}{{name}}{{else}}none{{/each}}', { list: [] }, 'none'],
  ['the view from within', '{{#each list}}{{../a}}{{#if ../b}}!{{/if}}{{/each}}', { list: [1], a: 'x', b: true }, 'x!'],
  ['the root', '{{#each list}}{{@root.a}}{{/each}}', { list: [1], a: 'x' }, 'x'],
  ['block parameters', '{{#each list as |item|}}{{item.n}}{{/each}}', { list: [{ n: 1 }] }, '1'],
  ['with', '{{#with a}}{{b}}{{/with}}', { a: { b: 'c' } }, 'c'],
  ['what is absent on purpose', '{{#if a}}{{a.b}}{{/if}}.', { a: undefined }, '.'],
])('%s', (_what, source, view, expected) => {
  expect(render(source, view)).toBe(expected);
});

test('partials with their own context and names, not indented', () => {
  const partials = { 'partials/p': '{{name}}={{value}}\n', outer: '{{> partials/p name="x" value=a}}' };
  expect(render('  {{> outer}}', { a: 1 }, partials)).toBe('  x=1\n');
  expect(render('{{#each list}}{{> partials/p}}{{/each}}', { list: [{ name: 'n', value: 'v' }] }, partials)).toBe('n=v\n');
  expect(render('{{> partials/p one}}', { one: { name: 'n', value: 'v' } }, partials)).toBe('n=v\n');
});

test.each([
  ['a name', '{{nope}}', ['nope']],
  ['in if', '{{#if nope}}x{{/if}}', ['nope']],
  ['in unless', '{{#unless nope}}x{{/unless}}', ['nope']],
  ['in each', '{{#each nope}}x{{/each}}', ['nope']],
  ['in a branch that is not rendered', '{{#if no}}{{nope}}{{else}}{{nope2}}{{/if}}', ['nope', 'nope2']],
  ['in an argument', "{{shq nope}}{{#if (eq nope2 'x')}}{{/if}}", ['nope', 'nope2']],
  ['below a name', '{{#if object.nope}}{{/if}}{{object.a.nope}}', ['object.a.nope', 'object.nope']],
  ['in an item', '{{#each list}}{{#if nope}}{{/if}}{{/each}}', ['nope']],
  ['in one of the items', '{{#each list}}{{#if sometimes}}{{/if}}{{/each}}', ['sometimes']],
  ['of the view, in an item', '{{#each list}}{{#if a}}{{/if}}{{/each}}', ['a']],
  ['from within', '{{#each list}}{{#if ../nope}}{{/if}}{{/each}}', ['../nope']],
  ['further out than there is', '{{#if ../a}}{{/if}}', ['../a']],
  ['in with', '{{#with object}}{{#if nope}}{{/if}}{{/with}}', ['nope']],
  ['of the root', '{{#if @root.nope}}{{/if}}', ['@root.nope']],
  ['data', '{{#each list}}{{@nope}}{{/each}}', ['@nope']],
  ['in a block parameter', '{{#each list as |item|}}{{#if item.nope}}{{/if}}{{/each}}', ['item.nope']],
  ['in a partial', '{{> partial}}', ['nope']],
  ['in a partial below each', '{{#each list}}{{> partial}}{{/each}}', ['nope']],
  ['in what a partial is given', '{{> ok name=nope2}}', ['nope2']],
  ['block parameters in a partial', '{{#each list as |item|}}{{> item}}{{/each}}', ['item.name']],
  ['a helper that there is not', '{{upper a}}', ['upper']],
  ['inherited names', '{{#if constructor}}{{/if}}{{toString}}', ['constructor', 'toString']],
])('names that the view lacks are found: %s', (_what, source, expected) => {
  const view = { a: 1, no: false, object: { a: {} }, list: [{ name: 'x', sometimes: 1 }, { name: 'y' }] };
  const partials = { partial: '{{#if nope}}{{/if}}', ok: '{{name}}', item: '{{item.name}}' };
  expect(unknown(source, view, partials)).toEqual(expected);
  expect(() => render(source, view, partials)).toThrow(`main: the view has no ${expected.map((name) => `"${name}"`).join(', ')}`);
});

test('a template that includes itself is checked once', () => {
  expect(unknown('{{#each children}}{{> main}}{{/each}}{{nope}}', { children: [{ children: [] }] })).toEqual(['nope']);
});

test('values that would become nonsense are refused', () => {
  expect(() => render('{{shq a}}', { a: undefined })).toThrow('shq takes a text or a number, not undefined');
  expect(() => render('{{shq a}}', { a: {} })).toThrow('not object');
  expect(() => render("{{join a ' '}}", { a: 'text' })).toThrow('join takes a list, not string');
});

test('a template that is not there', () => {
  expect(() => render('{{> nowhere}}', {})).toThrow('no template named "nowhere"');
  expect(() => renderTemplate(new Map(), 'main', {})).toThrow('no template named "main"');
});
