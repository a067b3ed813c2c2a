import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

import { expect, onTestFinished } from 'vitest';

import { kvci, type Run, temporaryFolder } from './run-kvci.ts';

export interface ErrorJson {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly exitCode: number;
}

/** A folder for one test, with a cache and a state of its own. */
export interface Place {
  readonly path: string;
  /** Where its state is. */
  readonly state: string;
  readonly cache: string;
  run(...args: readonly string[]): Promise<Run>;
  /** Runs it with `--output json`: the error of standard output; nothing stands on standard error. */
  refused(...args: readonly string[]): Promise<ErrorJson>;
}

/** @param files of the folder that commands run in; a path may begin with `../state/` */
export async function place(files: Readonly<Record<string, string>> = {}): Promise<Place> {
  const folder = await temporaryFolder();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const work = join(folder.path, 'work');
  await mkdir(work);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(work, name)), { recursive: true });
    await writeFile(join(work, name), text);
  }
  const env = {
    KVCI_CACHE_DIR: join(folder.path, 'cache'),
    KVCI_STATE_DIR: join(folder.path, 'state'),
    KVCI_RUNTIME_DIR: join(folder.path, 'run'),
    PATH: '/usr/bin:/bin',
    // What Node compiled stays where it is: a cold start takes seconds.
    NODE_COMPILE_CACHE: join(homedir(), '.cache/kvci/node'),
  };
  const run = (...args: readonly string[]): Promise<Run> => kvci(args, { cwd: work, env });
  return {
    path: work,
    state: env.KVCI_STATE_DIR,
    cache: env.KVCI_CACHE_DIR,
    run,
    refused: async (...args) => {
      const { code, stdout, stderr } = await run(...args, '--output', 'json');
      const { error } = JSON.parse(stdout) as { readonly error: ErrorJson };
      expect({ code, stderr }).toEqual({ code: error.exitCode, stderr: '' });
      return error;
    },
  };
}
