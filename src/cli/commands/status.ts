import type { CommandModule } from '../command.ts';
import { formatStatus, statusDocument } from '../render/cluster.ts';

export const status: CommandModule = {
  examples: [
    { line: 'status', what: 'nodes, addresses, how long each step took, what is not Ready and why' },
    { line: 'status lab --output json', what: 'of the cluster "lab", for scripts' },
  ],
  define: (command, act) =>
    command.argument('[name]', 'name of the cluster (default: the only one)').action(
      act<[string | undefined]>(async (context, _flags, [name]) => {
        const found = await (await context.services.cluster()).status(name, context.run);
        const { condition } = found;
        return {
          data: statusDocument(found),
          text: () => formatStatus(found),
          exitCode: condition === 'ready' || condition === 'stopped' ? 0 : 1,
        };
      }),
    ),
};
