import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const KVCI = fileURLToPath(new URL('../../kvci', import.meta.url));

export interface Answered {
  /** What it printed as JSON. */
  readonly answer: unknown;
  /** Of the whole command, its own start too. */
  readonly seconds: number;
}

/** This checkout's kvci, called in a folder. @param env beside this process' own; throws when a command fails, with what it printed */
export function kvciIn(folder: string, env: Readonly<Record<string, string>> = {}): (...args: readonly string[]) => Answered {
  return (...args) => {
    const started = performance.now();
    const said = runKvci(folder, ['--output', 'json', '--progress', 'none', ...args], env);
    return { answer: JSON.parse(said) as unknown, seconds: (performance.now() - started) / 1000 };
  };
}

/** The same without waiting for it, so that several run at once. */
export function kvciBeside(folder: string, env: Readonly<Record<string, string>> = {}): (...args: readonly string[]) => Promise<Answered> {
  return async (...args) => {
    const started = performance.now();
    const child = spawn(KVCI, ['--output', 'json', '--progress', 'none', ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
    const said = await text(child.stdout);
    const status = await ended;
    if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}: ${said}`);
    return { answer: JSON.parse(said) as unknown, seconds: (performance.now() - started) / 1000 };
  };
}

/** The largest resident set of kvci's own process in a command, in bytes; its programs in sandboxes are others. */
export function peakMemory(folder: string, ...args: readonly string[]): number {
  const scratch = mkdtempSync(join(tmpdir(), 'kvci-bench-'));
  try {
    const peak = join(scratch, 'peak');
    const load = `--import=${new URL('peak-memory.ts', import.meta.url).href}`;
    runKvci(folder, ['--progress', 'none', ...args], { NODE_OPTIONS: load, KVCI_BENCH_PEAK: peak });
    return Number(readFileSync(peak, 'utf8'));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** What a command prints for people. */
export function textOf(folder: string, ...args: readonly string[]): string {
  return runKvci(folder, ['--progress', 'none', ...args]);
}

/** Removes clusters; those that are not there are none the less gone. */
export function removeClusters(folder: string, names: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  const options = { cwd: folder, env: { ...process.env, ...env }, stdio: 'ignore' } as const;
  for (const name of names) spawnSync(KVCI, ['down', name, '--progress', 'none'], options);
}

function runKvci(cwd: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { status, stdout } = spawnSync(KVCI, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`kvci ${args.join(' ')} ended with ${String(status)}: ${stdout}`);
  return stdout;
}
