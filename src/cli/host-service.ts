import { shellLine } from '../core/shell.ts';
import type { RunContext } from '../core/plan.ts';
import { applyFixes, type CheckResult, notReady, runChecks } from '../host/host-report.ts';
import { type Reaper, reapOrphans } from '../host/ledger.ts';
import { fixCommands, type PackageManager } from '../host/package-manager.ts';
import type { PrunableStore } from '../host/store/artifact-store.ts';
import { cacheUse, pruneCache } from '../host/store/prune.ts';
import type { Artifact, CommandRunner, Directories, HostCheck, Ledger } from '../host/types.ts';
import type { CacheEntry, DoctorReport, HostService } from './services.ts';

export interface HostServiceParts {
  readonly directories: Directories;
  readonly commands: CommandRunner;
  readonly store: PrunableStore;
  readonly ledger: Ledger;
  readonly reapers: readonly Reaper[];
  /** Effective user id. */
  readonly uid: number;
  packageManager(): Promise<PackageManager | undefined>;
  /** What every room asks of the host; made anew for each look, since checks remember what they saw. */
  checks(): readonly HostCheck[];
}

export function createHostService(parts: HostServiceParts): HostService {
  return {
    doctor: async ({ fix }, run) => {
      const manager = await parts.packageManager();
      const results = await runChecks(parts.checks(), manager);
      if (!fix) return report(results, []);
      const fixed = await mend(results, parts, run);
      return report(fixed.length === 0 ? results : await runChecks(parts.checks(), await parts.packageManager()), fixed);
    },
    prune: async () => {
      const { removed, failed } = await reapOrphans(parts.ledger, parts.reapers);
      const leftovers = await parts.store.removeLeftovers();
      return { removed: [...removed, ...leftovers], failed: failed.map((error) => error.message) };
    },
    cacheList: async () => {
      const { size, kinds } = await cacheUse(parts.store);
      const entries = kinds
        .flatMap(({ artifacts }) => artifacts.map(({ artifact, lastUsed }) => ({ ...cacheEntry(artifact), lastUsed })))
        .toSorted((a, b) => b.size - a.size);
      return { folder: parts.directories.cache, size, entries };
    },
    cachePrune: async (keepBytes, run) => {
      const { removed, inUse, leftovers, size } = await pruneCache(parts.store, keepBytes, run.signal);
      return {
        removed: removed.map(cacheEntry),
        inUse: inUse.map(cacheEntry),
        leftovers,
        freed: removed.reduce((sum, artifact) => sum + artifact.record.size, 0),
        size,
      };
    },
  };
}

/**
 * What `--setup` does before a command starts: mends what the command needs of the host, then refuses a host that still lacks
 * something.
 *
 * @throws ProblemsError `host-not-ready`, KvciError `needs-root`
 */
export async function prepareHost(checks: () => readonly HostCheck[], parts: MendingParts, run: RunContext): Promise<void> {
  let results = await runChecks(checks(), await parts.packageManager());
  const errors = results.filter(({ status }) => status === 'error');
  if ((await mend(errors, parts, run)).length > 0) results = await runChecks(checks(), await parts.packageManager());
  const error = notReady(results);
  if (error !== undefined) throw error;
}

type MendingParts = Pick<HostServiceParts, 'commands' | 'uid' | 'packageManager'>;

async function mend(results: readonly CheckResult[], parts: MendingParts, run: RunContext): Promise<readonly string[]> {
  const fixes = fixCommands(
    results.flatMap(({ problem }) => problem ?? []),
    await parts.packageManager(),
  );
  return applyFixes(fixes, {
    commands: parts.commands,
    uid: parts.uid,
    signal: run.signal,
    onCommand: (line) => {
      run.events({ type: 'problem', level: 'note', message: `runs ${line}` });
    },
    onLine: (line) => {
      run.events({ type: 'step.output', step: 'setup', line });
    },
  });
}

function report(results: readonly CheckResult[], fixed: readonly string[]): DoctorReport {
  return {
    checks: results.map(({ id, title, status, message, commands }) => ({
      id,
      title,
      status,
      ...(message === undefined ? {} : { message }),
      commands: commands.map(shellLine),
    })),
    fixed,
  };
}

function cacheEntry({ kind, key, record }: Artifact): CacheEntry {
  return { kind, key, title: record.title, size: record.size, madeAt: record.madeAt };
}
