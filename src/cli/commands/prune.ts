import type { CommandModule } from '../command.ts';
import { formatPrune } from '../render/host.ts';

export const prune: CommandModule = {
  examples: [{ line: 'prune', what: 'after a run was killed' }],
  define: (command, act) =>
    command.action(
      act(async (context) => {
        const data = await (await context.services.host()).prune(context.run);
        return { data, text: () => formatPrune(data), exitCode: data.failed.length === 0 ? 0 : 1 };
      }),
    ),
};
