import type { CommandModule } from '../command.ts';
import { formatOutputs } from '../render/cluster.ts';

export const exec: CommandModule = {
  examples: [
    { line: 'exec -- uname -r', what: 'on all nodes at once' },
    { line: 'exec --cluster lab --output json -- systemctl is-active kubelet', what: 'for scripts' },
  ],
  define: (command, act) =>
    command
      .argument('<command...>', 'what to run, after "--"')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .action(
        act<[readonly [string, ...string[]]], { readonly cluster?: string }>(async (context, flags, [argv]) => {
          const outputs = await (await context.services.cluster()).exec(flags.cluster, argv, context.run);
          return {
            data: { nodes: outputs },
            text: () => formatOutputs(outputs),
            exitCode: outputs.find((output) => output.exitCode !== 0)?.exitCode ?? 0,
          };
        }),
      ),
};
