import { parseDuration } from '../../core/durations.ts';
import { type CommandModule, flagValue } from '../command.ts';
import { formatDuration } from '../progress/format.ts';
import { clusterDocument } from '../render/cluster.ts';

export const reset: CommandModule = {
  examples: [
    { line: 'reset', what: 'the only cluster, to what it was last saved as or came from' },
    { line: 'reset lab', what: 'the cluster "lab", between two tests' },
  ],
  define: (command, act) =>
    command
      .argument('[cluster]', 'name of the cluster (default: the only one)')
      .option('--timeout <duration>', 'how long it may take until it is Ready (default: 10m)', flagValue('--timeout', parseDuration))
      .action(
        act<[string | undefined], { readonly timeout?: number }>(async (context, flags, [cluster]) => {
          const { state } = await (await context.services.snapshot()).reset(cluster, { timeoutMs: flags.timeout }, context.run);
          return {
            data: clusterDocument(state),
            text: () => `Reset ${state.name} to ${state.snapshot?.name ?? ''}; Ready after ${formatDuration(state.readyMs ?? 0)}`,
          };
        }),
      ),
};
