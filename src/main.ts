import { readFileSync } from 'node:fs';

import type { Secret } from './core/secrets.ts';

/*
 * The way in: argv, signals, exit code. Nothing but Node's own modules is imported before it is known that it is needed, so
 * that `kvci --version` costs little more than starting Node.
 */

const packageFile = new URL('../package.json', import.meta.url);

function readVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(packageFile, 'utf8'));
  return parsed !== null && typeof parsed === 'object' && 'version' in parsed ? String(parsed.version) : 'unknown';
}

async function main(argv: readonly string[]): Promise<number> {
  const { KvciError } = await import('./core/errors.ts');
  const { maskSecrets } = await import('./core/secrets.ts');
  const { asReported, wantsJson } = await import('./cli/failure.ts');
  const { renderError } = await import('./cli/render/error.ts');
  const { runCli } = await import('./cli/run.ts');
  const { terminalOf } = await import('./cli/terminal.ts');
  const { createServices } = await import('./wiring.ts');

  const controller = new AbortController();
  for (const [name, reason] of [
    ['SIGINT', 'interrupted'],
    ['SIGTERM', 'terminated'],
    ['SIGHUP', 'terminated'],
  ] as const) {
    const cancel = new KvciError(reason, 'cancelled', `cancelled by ${name}`);
    process.on(name, () => {
      if (controller.signal.aborted) {
        // The first asked every step to stop and clean up. Whoever does not wait for that ends kvci by the signal itself:
        // process.exit() would wait for file operations that hang.
        process.removeAllListeners(name);
        process.kill(process.pid, name);
      }
      controller.abort(cancel);
    });
  }

  const stdout = terminalOf(process.stdout, process.env);
  const stderr = terminalOf(process.stderr, process.env);
  const secrets = new Set<Secret>();
  const report = async (error: unknown): Promise<number> => {
    const reported = asReported(error, controller.signal);
    const json = wantsJson(argv);
    await (json ? stdout : stderr).write(maskSecrets(renderError(reported, json ? 'json' : 'text', stderr.color), secrets));
    return reported.exitCode;
  };
  process.on('uncaughtException', (error) => {
    void report(error).then((code) => process.exit(code));
  });
  try {
    return await runCli(argv, {
      version: readVersion(),
      stdout,
      stderr,
      cwd: process.cwd(),
      signal: controller.signal,
      secrets,
      createServices: (settings, run) => createServices(process.env, settings, run),
    });
  } catch (error) {
    return await report(error);
  }
}

// It is for this process only: what kvci starts has its own.
delete process.env['NODE_COMPILE_CACHE'];
// A reader such as `head` that has seen enough is no failure, and nobody to tell is no reason to stop.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`kvci: the result cannot be written to standard output: ${error.message}\n`);
  process.exit(1);
});
process.stderr.on('error', () => undefined);

const argv = process.argv.slice(2);
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  process.stdout.write(`${readVersion()}\n`);
} else {
  // Whatever is still open when the command is done must not keep it from ending.
  process.exit(await main(argv));
}
