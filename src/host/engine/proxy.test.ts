import { expect, it } from 'vitest';

import { proxyBuildArgs, withoutLoopback } from './proxy.ts';

it.each<[string, Record<string, string>, Record<string, string>]>([
  ['none', { PATH: '/bin' }, {}],
  ['one spelling counts for both', { https_proxy: 'http://p:1' }, { HTTPS_PROXY: 'http://p:1', https_proxy: 'http://p:1' }],
  ['both spellings', { HTTP_PROXY: 'http://a', http_proxy: 'http://b' }, { HTTP_PROXY: 'http://a', http_proxy: 'http://b' }],
  ['exceptions', { NO_PROXY: 'localhost,.lan' }, { NO_PROXY: 'localhost,.lan', no_proxy: 'localhost,.lan' }],
  ['empty is none', { HTTP_PROXY: '' }, {}],
])('%s', (_name, env, expected) => {
  expect(proxyBuildArgs(env)).toEqual(expected);
});

it('an engine of another host gets none of this loopback', () => {
  const far = { HTTPS_PROXY: 'http://proxy.lan:3128', NO_PROXY: 'localhost,127.0.0.1', no_proxy: 'localhost' };
  const near = {
    HTTP_PROXY: 'http://localhost:3128',
    http_proxy: 'http://user:word@127.0.0.1:3128',
    ALL_PROXY: 'socks5://[::1]:1080',
    https_proxy: 'localhost:1',
  };
  expect(withoutLoopback({ ...far, ...near })).toEqual(far);
});
