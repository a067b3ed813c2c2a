import type { Flags } from './types.ts';

/**
 * The flags that a program's help lists, hidden ones not among them.
 *
 * Both converters print what the library cobra makes of their flags: `  -v, --verbose   Switch...`, `      --type stringArray   ...`.
 */
export function parseFlags(help: string): Flags {
  const flags = new Map<string, string>();
  for (const line of help.split('\n')) {
    const [, flag, type] = /^\s+(?:-\w, )?(--[a-z][a-z0-9-]*)(?: (\w+))?(?:\s{2,}|$)/.exec(line) ?? [];
    if (flag !== undefined) flags.set(flag, type ?? '');
  }
  return flags;
}
