import type { CommandModule } from '../command.ts';
import { formatCacheList } from '../render/host.ts';

export const cacheList: CommandModule = {
  examples: [{ line: 'cache list', what: 'the largest first, with the engine of kvci and the images' }],
  define: (command, act) =>
    command.action(
      act(async (context) => {
        const data = await (await context.services.host()).cacheList();
        return { data, text: () => formatCacheList(data) };
      }),
    ),
};
