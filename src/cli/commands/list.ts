import type { CommandModule } from '../command.ts';
import { formatList, listDocument } from '../render/cluster.ts';

export const list: CommandModule = {
  examples: [
    { line: 'list', what: 'all clusters' },
    { line: 'list --output json', what: 'for scripts' },
  ],
  define: (command, act) =>
    command.action(
      act(async (context) => {
        const clusters = await (await context.services.cluster()).list(context.run);
        return { data: listDocument(clusters), text: () => formatList(clusters) };
      }),
    ),
};
