import { expect, it } from 'vitest';

import { proxyBuildArgs } from './proxy.ts';

it.each<[string, Record<string, string>, Record<string, string>]>([
  ['none', { PATH: '/bin' }, {}],
  ['one spelling counts for both', { https_proxy: 'http://p:1' }, { HTTPS_PROXY: 'http://p:1', https_proxy: 'http://p:1' }],
  ['both spellings', { HTTP_PROXY: 'http://a', http_proxy: 'http://b' }, { HTTP_PROXY: 'http://a', http_proxy: 'http://b' }],
  ['exceptions', { NO_PROXY: 'localhost,.lan' }, { NO_PROXY: 'localhost,.lan', no_proxy: 'localhost,.lan' }],
  ['empty is none', { HTTP_PROXY: '' }, {}],
])('%s', (_name, env, expected) => {
  expect(proxyBuildArgs(env)).toEqual(expected);
});
