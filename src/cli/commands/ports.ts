import type { CommandModule } from '../command.ts';
import { formatPorts } from '../render/cluster.ts';

export const ports: CommandModule = {
  examples: [
    { line: 'ports', what: 'what on this host leads where' },
    { line: 'ports lab --output json', what: 'of the cluster "lab", for scripts' },
  ],
  define: (command, act) =>
    command.argument('[name]', 'name of the cluster (default: the only one)').action(
      act<[string | undefined]>(async (context, _flags, [name]) => {
        const found = await (await context.services.cluster()).ports(name);
        return { data: { ports: found }, text: () => formatPorts(found) };
      }),
    ),
};
