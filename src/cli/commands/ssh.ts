import type { CommandModule } from '../command.ts';

export const ssh: CommandModule = {
  examples: [
    { line: 'ssh node01', what: 'a shell on a node' },
    { line: 'ssh node02 -- journalctl -u kubelet -f', what: 'a command, with its exit code' },
    { line: 'ssh node01 --cluster lab -- tar c /var/log > log.tar', what: 'through pipes' },
  ],
  define: (command, act) =>
    command
      .argument('<node>', 'name of the node')
      .argument('[command...]', 'what to run instead of a shell, after "--"')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .action(
        act<[string, readonly string[]], { readonly cluster?: string }>(async (context, flags, [node, argv]) => {
          const exitCode = await (await context.services.cluster()).enter(flags.cluster, node, argv, context.run);
          return { data: { exitCode }, text: () => '', exitCode };
        }),
      ),
};
