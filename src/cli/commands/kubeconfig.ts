import type { CommandModule } from '../command.ts';

export const kubeconfig: CommandModule = {
  examples: [
    { line: 'kubeconfig > kubeconfig', what: 'for "kubectl --kubeconfig kubeconfig get nodes"' },
    { line: 'kubeconfig lab --merge', what: 'into your own kubeconfig, as the current context kvci-lab' },
  ],
  define: (command, act) =>
    command
      .argument('[name]', 'name of the cluster (default: the only one)')
      .option('--merge', 'put it into your own kubeconfig (KUBECONFIG, else ~/.kube/config)')
      .action(
        act<[string | undefined], { readonly merge?: true }>(async (context, flags, [name]) => {
          const service = await context.services.cluster();
          if (flags.merge === true) {
            const file = await service.mergeKubeconfig(name, context.run);
            return { data: { file }, text: () => `Merged into ${file}` };
          }
          const text = await service.kubeconfig(name, context.run);
          return { data: { kubeconfig: text }, text: () => text };
        }),
      ),
};
