import type { CommandModule } from '../command.ts';
import { clusterDocument } from '../render/cluster.ts';

export const nodeRemove: CommandModule = {
  examples: [
    { line: 'node remove node02', what: 'its pods end in order first; also one that is dead' },
    { line: 'node remove node03 --cluster lab --no-drain', what: 'of the cluster "lab", with all that runs on it' },
  ],
  define: (command, act) =>
    command
      .argument('<node>', 'name of the node')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .option('--no-drain', 'do not wait for its pods to end, which may take two minutes')
      .action(
        act<[string], { readonly cluster?: string; readonly drain: boolean }>(async (context, flags, [node]) => {
          const state = await (await context.services.cluster()).removeNode(flags.cluster, node, { drain: flags.drain }, context.run);
          return { data: { ...clusterDocument(state), removed: node }, text: () => `Removed ${node} from ${state.name}` };
        }),
      ),
};
