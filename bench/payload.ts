import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { RunContext } from '../src/core/plan.ts';
import { parseVersionRequest } from '../src/core/versions.ts';
import { hostCommands } from '../src/host/adapters/execa-commands.ts';
import { systemClock } from '../src/host/clock.ts';
import { fileLocks } from '../src/host/locks.ts';
import { createArtifactStore } from '../src/host/store/artifact-store.ts';
import type { CommandRunner } from '../src/host/types.ts';
import { buildGroups, programRequests } from '../src/payload/build-groups.ts';
import { GoClient } from '../src/payload/go-client.ts';
import { readProgramSources, writeModuleFolder } from '../src/payload/go-module-folder.ts';
import { ModulesResolver } from '../src/payload/modules-resolve.ts';
import { linkerFlags, tagArguments } from '../src/payload/program-groups.ts';

/*
 * All Go programs of a payload as kvci builds them, against upstream's programs built one after another by hand with the same
 * flags; each series once, from a cold Go build cache, with all modules downloaded before. Takes about 20 minutes on two
 * quiet cores; some groups alone take less. `node bench/payload.ts [KUBERNETES [GROUP,GROUP...]]`
 */

const BOUND = 1.15;
const [, , kubernetes = '1.36', groups] = process.argv;
const only = groups?.split(',');

const events = (): undefined => undefined;
const commands = hostCommands(events, systemClock);
const run: RunContext = { events, clock: systemClock, signal: new AbortController().signal };
const sources = await readProgramSources(fileURLToPath(new URL('../templates', import.meta.url)));
const folder = await mkdtemp(join(tmpdir(), 'kvci-bench-'));

/** Go with a build cache of its own. */
function goWithCache(name: string): GoClient {
  const GOCACHE = join(folder, name);
  const cold: CommandRunner = {
    where: commands.where,
    run: (argv, options = {}) => commands.run(argv, { ...options, env: { ...options.env, GOCACHE } }),
  };
  return new GoClient(cold, false);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

try {
  const go = new GoClient(commands, false);
  const lock = await ModulesResolver.resolve(go, sources, parseVersionRequest(kubernetes), 'amd64', run);
  const requests = programRequests(lock, lock.inputs, 'amd64').filter(({ group }) => only?.includes(group.name) ?? true);

  // By hand: upstream's own CoreDNS, with all its plugins.
  const byHand = requests.flatMap(({ group, files, toolchain }) => {
    const module = join(folder, 'modules', group.name);
    return group.builds.flatMap(({ programs, tags }) =>
      Object.entries(programs).map(([name, path]) => ({
        name,
        module,
        files,
        setting: { toolchain, architecture: 'amd64' as const, modules: name === 'coredns' ? ('mod' as const) : ('readonly' as const) },
        tags: tagArguments(tags),
        arguments: [...tagArguments(tags), '-ldflags', linkerFlags(group.variables), '-o', join(folder, 'out', name)],
        path: name === 'coredns' ? 'github.com/coredns/coredns' : path,
        main: name === 'pause' ? sources.pause : undefined,
      })),
    );
  });
  await mkdir(join(folder, 'out'));
  for (const one of byHand) {
    await writeModuleFolder(one.module, one.files, one.main);
    await go.run(['list', ...one.tags, '-deps', one.path], one.setting, { cwd: one.module });
  }

  const load = loadavg()[0] ?? 0;
  const hand = goWithCache('hand');
  const handSeconds = await timed(async () => {
    for (const one of byHand) {
      const seconds = await timed(async () => {
        await hand.run(['build', ...one.arguments, one.path], one.setting, { cwd: one.module });
      });
      process.stderr.write(`by hand: ${one.name} ${seconds.toFixed(0)} s\n`);
    }
  });
  const directories = { cache: join(folder, 'cache') };
  await mkdir(directories.cache);
  const store = createArtifactStore({ directories, locks: fileLocks(systemClock), clock: systemClock });
  const ourSeconds = await timed(async () => {
    await buildGroups(requests, { go: goWithCache('ours'), store, sources }, run);
  });
  const ratio = handSeconds / ourSeconds;
  process.stdout.write(
    `Go programs${only === undefined ? '' : ` of ${only.join(', ')}`} by hand / by kvci: ${ratio.toFixed(2)} (bound ${BOUND}; ${handSeconds.toFixed(0)} s / ${ourSeconds.toFixed(0)} s; load before ${load.toFixed(1)})\n`,
  );
  process.exitCode = ratio >= BOUND ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
