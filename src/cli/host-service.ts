import { shellLine } from '../core/shell.ts';
import type { RunContext } from '../core/plan.ts';
import { applyFixes, type CheckResult, notReady, runChecks } from '../host/host-report.ts';
import { type Reaper, reapOrphans } from '../host/ledger.ts';
import { fixCommands, type PackageManager } from '../host/package-manager.ts';
import type { PrunableStore } from '../host/store/artifact-store.ts';
import { type CacheItem, pruneItems, storedItems, totalSize } from '../host/store/prune.ts';
import { type Sweep, sweepAll, sweepOf } from '../host/sweep.ts';
import type { CommandRunner, Directories, HostCheck, Ledger } from '../host/types.ts';
import type { CacheEntry, DoctorReport, HostService } from './services.ts';

export interface HostServiceParts {
  readonly directories: Directories;
  readonly commands: CommandRunner;
  readonly store: PrunableStore;
  readonly ledger: Ledger;
  readonly reapers: readonly Reaper[];
  /** What is there for nobody any more, beside what the ledger and the store know of, in the order in which it goes. */
  readonly sweeps: readonly Sweep[];
  /** Effective user id. */
  readonly uid: number;
  /** What the cache holds beside artifacts, and goes as a whole. */
  otherItems(): Promise<readonly CacheItem[]>;
  /** kvci's image store: an image goes when somebody removes it, blobs that no image needs go with every prune. */
  readonly images: {
    /** Bytes of all blobs. */
    size(): Promise<number>;
    collectGarbage(now: Date): Promise<{ readonly removed: number; readonly bytes: number }>;
  };
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
      const fixed = await mend(fixable(results, parts.uid, run), parts, run);
      return report(fixed.length === 0 ? results : await runChecks(parts.checks(), await parts.packageManager()), fixed);
    },
    prune: async ({ signal }) => {
      const sweeps: readonly Sweep[] = [
        { what: 'what killed runs have made', sweep: () => reapOrphans(parts.ledger, parts.reapers, signal) },
        ...parts.sweeps,
        sweepOf('folders of killed runs', () => parts.store.removeLeftovers()),
      ];
      const { removed, failed, unseen } = await sweepAll(sweeps, signal);
      return { removed, failed: failed.map((error) => error.message), unseen };
    },
    cacheList: async () => {
      const items = [...(await storedItems(parts.store)), ...(await parts.otherItems())];
      return {
        folder: parts.directories.cache,
        size: totalSize(items),
        images: await parts.images.size(),
        entries: items.toSorted((a, b) => b.size - a.size).map(cacheEntry),
      };
    },
    cachePrune: async (keepBytes, run) => {
      const leftovers = await parts.store.removeLeftovers();
      const garbage = await parts.images.collectGarbage(new Date(run.clock.now()));
      const items = [...(await storedItems(parts.store)), ...(await parts.otherItems())];
      const { removed, inUse, size } = await pruneItems(items, keepBytes, run.signal);
      return {
        removed: removed.map(cacheEntry),
        inUse: inUse.map(cacheEntry),
        leftovers,
        unusedBlobs: { count: garbage.removed, size: garbage.bytes },
        freed: totalSize(removed) + garbage.bytes,
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

/**
 * What `--fix` mends. Warnings of what only root can mend keep no ordinary user from anything: where nothing that is required
 * has a command, they are left to root and named.
 */
function fixable(results: readonly CheckResult[], uid: number, run: RunContext): readonly CheckResult[] {
  const mendable = results.filter(({ commands }) => commands.length > 0);
  if (uid === 0 || mendable.some(({ status }) => status === 'error')) return results;
  if (mendable.length > 0) {
    const message = `left to root, who can mend it with "kvci doctor --fix": ${mendable.map(({ title }) => title).join(', ')}`;
    run.events({ type: 'problem', level: 'note', message });
  }
  return [];
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

function cacheEntry({ kind, key, title, size, madeAt, lastUsed }: CacheItem): CacheEntry {
  return {
    kind,
    ...(key === undefined ? {} : { key }),
    title,
    size,
    ...(madeAt === undefined ? {} : { madeAt }),
    lastUsed: new Date(lastUsed).toISOString(),
  };
}
