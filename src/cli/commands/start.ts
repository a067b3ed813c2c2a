import { parseDuration } from '../../core/durations.ts';
import { type CommandModule, flagValue } from '../command.ts';
import { clusterDocument, formatUp } from '../render/cluster.ts';

export const start: CommandModule = {
  examples: [
    { line: 'start', what: 'start the only cluster again, as it was' },
    { line: 'start lab --timeout 5m', what: 'the cluster "lab"' },
  ],
  define: (command, act) =>
    command
      .argument('[name]', 'name of the cluster (default: the only one)')
      .option('--timeout <duration>', 'how long it may take, such as 10m (default: 30m)', flagValue('--timeout', parseDuration))
      .action(
        act<[string | undefined], { readonly timeout?: number }>(async (context, flags, [name]) => {
          const service = await context.services.cluster();
          const { state, reused, kubeconfig } = await service.start(name, { timeoutMs: flags.timeout }, context.run);
          return { data: { ...clusterDocument(state), reused, kubeconfig }, text: () => formatUp(state, reused, kubeconfig) };
        }),
      ),
};
