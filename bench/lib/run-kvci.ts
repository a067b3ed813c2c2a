import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const KVCI = fileURLToPath(new URL('../../kvci', import.meta.url));

export interface Answered {
  /** What it printed as JSON. */
  readonly answer: unknown;
  /** Of the whole command, its own start too. */
  readonly seconds: number;
}

/** This checkout's kvci, called in a folder. Throws when a command fails, with what it printed. */
export function kvciIn(folder: string): (...args: readonly string[]) => Answered {
  return (...args) => {
    const started = performance.now();
    const said = runKvci(folder, ['--output', 'json', '--progress', 'none', ...args]);
    return { answer: JSON.parse(said) as unknown, seconds: (performance.now() - started) / 1000 };
  };
}

/** What a command prints for people. */
export function textOf(folder: string, ...args: readonly string[]): string {
  return runKvci(folder, ['--progress', 'none', ...args]);
}

/** Removes clusters; those that are not there are none the less gone. */
export function removeClusters(folder: string, names: readonly string[]): void {
  for (const name of names) spawnSync(KVCI, ['down', name, '--progress', 'none'], { cwd: folder, stdio: 'ignore' });
}

function runKvci(cwd: string, args: readonly string[]): string {
  const { status, stdout } = spawnSync(KVCI, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
  if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}: ${stdout}`);
  return stdout;
}
