import { isLoopback } from './endpoint.ts';

/** What Docker and Buildah take as build arguments without a declaration, and keep out of the image, its history and cache keys. */
const PROXY_VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'ALL_PROXY', 'NO_PROXY'] as const;

/**
 * The host's proxies as build arguments, in both spellings: tools disagree on which one they read. Where only one is set, it
 * counts for both.
 */
export function proxyBuildArgs(env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const pairs = PROXY_VARIABLES.flatMap((upper) => {
    const lower = upper.toLowerCase();
    const [upperValue, lowerValue] = [env[upper] ?? env[lower], env[lower] ?? env[upper]];
    return [...(upperValue ? [[upper, upperValue] as const] : []), ...(lowerValue ? [[lower, lowerValue] as const] : [])];
  });
  return Object.fromEntries(pairs);
}

/** Those that an engine of another host reaches, too: its loopback is another one. */
export function withoutLoopback(proxies: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const isHere = (value: string): boolean => {
    const url = value.includes('://') ? value : `http://${value}`;
    return URL.canParse(url) && isLoopback(new URL(url).hostname.replaceAll(/[[\]]/g, ''));
  };
  return Object.fromEntries(Object.entries(proxies).filter(([name, value]) => /^no_proxy$/i.test(name) || !isHere(value)));
}
