import { formatSize } from '../../core/sizes.ts';
import type { CommandModule } from '../command.ts';
import { table } from '../render/table.ts';

export const cacheList: CommandModule = {
  examples: [{ line: 'cache list', what: 'largest first' }],
  define: (command, act) =>
    command.action(
      act(async (context) => {
        const { folder, entries } = await (await context.services.host()).cacheList();
        const sorted = entries.toSorted((a, b) => b.size - a.size);
        const total = entries.reduce((sum, entry) => sum + entry.size, 0);
        return {
          data: { folder, total, entries: sorted },
          text: () =>
            [
              ...(sorted.length === 0
                ? []
                : [
                    table(
                      ['KIND', 'SIZE', 'MADE', 'WHAT'],
                      sorted.map((entry) => [entry.kind, formatSize(entry.size), entry.madeAt.slice(0, 16).replace('T', ' '), entry.title]),
                    ),
                  ]),
              `${formatSize(total)} in ${folder}`,
            ].join('\n'),
        };
      }),
    ),
};
