import type { CommandModule } from '../command.ts';
import { clusterDocument } from '../render/cluster.ts';

export const nodeRemove: CommandModule = {
  examples: [
    { line: 'node remove node02', what: 'with all it holds, also one that is dead' },
    { line: 'node remove node03 --cluster lab', what: 'of the cluster "lab"' },
  ],
  define: (command, act) =>
    command
      .argument('<node>', 'name of the node')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .action(
        act<[string], { readonly cluster?: string }>(async (context, flags, [node]) => {
          const state = await (await context.services.cluster()).removeNode(flags.cluster, node, context.run);
          return { data: { ...clusterDocument(state), removed: node }, text: () => `Removed ${node} from ${state.name}` };
        }),
      ),
};
