import type { CommandModule } from '../command.ts';

export const console: CommandModule = {
  examples: [
    { line: 'console node01', what: 'what it says, from its first line on, and to it what is typed or piped; Ctrl-] leaves it' },
    { line: 'console node02 --cluster lab >node02.log', what: 'into a file, until the node ends or Ctrl-C' },
    { line: 'console node01 --vnc', what: 'the socket at which its screen is seen' },
  ],
  define: (command, act) =>
    command
      .argument('<node>', 'name of the node, a virtual machine')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .option('--vnc', 'print the unix socket of its screen instead; nodes have one after "kvci up --vnc"')
      .action(
        act<[string], { readonly cluster?: string; readonly vnc?: true }>(async ({ services, run }, { cluster, vnc }, [node]) => {
          const service = await services.cluster();
          if (vnc === true) {
            const socket = await service.screen(cluster, node, run);
            return { data: { vnc: socket }, text: () => socket };
          }
          const end = await service.console(cluster, node, run);
          return { data: { end }, text: () => '' };
        }),
      ),
};
