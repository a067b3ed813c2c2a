import type { CommandModule } from '../command.ts';
import { formatDuration } from '../progress/format.ts';

export const stop: CommandModule = {
  examples: [
    { line: 'stop', what: 'shut down the only cluster; what it holds stays' },
    { line: 'stop lab', what: 'the cluster "lab"' },
  ],
  define: (command, act) =>
    command.argument('[name]', 'name of the cluster (default: the only one)').action(
      act<[string | undefined]>(async (context, _flags, [name]) => {
        const result = await (await context.services.cluster()).stop(name, context.run);
        return {
          data: result,
          text: () =>
            result.stopped.length === 0
              ? `${result.name} was stopped already`
              : `Stopped ${result.name} (${result.stopped.join(', ')}) in ${formatDuration(result.ms)}`,
        };
      }),
    ),
};
