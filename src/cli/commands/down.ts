import type { DownResult } from '../../cluster/down.ts';
import { KvciError, ProblemsError } from '../../core/errors.ts';
import type { RunContext } from '../../core/plan.ts';
import type { CommandModule } from '../command.ts';
import { formatDuration } from '../progress/format.ts';
import type { ClusterService } from '../services.ts';

export const down: CommandModule = {
  examples: [
    { line: 'down', what: 'remove the only cluster' },
    { line: 'down lab', what: 'remove the cluster "lab"' },
    { line: 'down --all', what: 'remove all of them' },
  ],
  define: (command, act) =>
    command
      .argument('[name]', 'name of the cluster (default: the only one)')
      .option('--all', 'remove all clusters')
      .action(
        act<[string | undefined], { readonly all?: true }>(async (context, flags, [name]) => {
          if (flags.all === true && name !== undefined) {
            throw new KvciError('usage', 'bad-flag', '--all: goes without a name', { facts: { flag: '--all' } });
          }
          const service = await context.services.cluster();
          const removed = flags.all === true ? await downAll(service, context.run) : [await service.down(name, context.run)];
          return {
            data: { removed },
            text: () =>
              removed.length === 0
                ? 'There is no cluster.'
                : removed.map((cluster) => `Removed ${cluster.name} in ${formatDuration(cluster.ms)}`).join('\n'),
          };
        }),
      ),
};

/** One that cannot be removed keeps no other; one that somebody else removed meanwhile is gone. @throws ProblemsError `not-all-removed` */
export async function downAll(service: Pick<ClusterService, 'names' | 'down'>, run: RunContext): Promise<readonly DownResult[]> {
  const removed: DownResult[] = [];
  const failed: KvciError[] = [];
  for (const name of await service.names()) {
    try {
      removed.push(await service.down(name, run));
    } catch (error) {
      if (!(error instanceof KvciError) || run.signal.aborted) throw error;
      if (error.code !== 'cluster-not-found') failed.push(error);
    }
  }
  const [first, ...others] = failed;
  if (first === undefined) return removed;
  const message = `${failed.length === 1 ? 'a cluster' : `${failed.length} clusters`} could not be removed`;
  throw new ProblemsError('not-all-removed', message, [first, ...others], { facts: { removed: removed.map(({ name }) => name) } });
}
