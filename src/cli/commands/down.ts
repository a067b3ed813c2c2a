import type { DownResult } from '../../cluster/down.ts';
import { KvciError } from '../../core/errors.ts';
import type { CommandModule } from '../command.ts';
import { formatDuration } from '../progress/format.ts';

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
          const removed: DownResult[] = [];
          if (flags.all === true) for (const each of await service.names()) removed.push(await service.down(each, context.run));
          else removed.push(await service.down(name, context.run));
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
