import type { CommandModule } from '../command.ts';
import { formatDifference } from '../render/image.ts';

export const imageDiff: CommandModule = {
  examples: [{ line: 'image diff localhost/node:1.31 localhost/node:1.36', what: 'files and configuration; exit code 1 when they differ' }],
  define: (command, act) =>
    command
      .argument('<a>', 'tag or digest of an image in the store')
      .argument('<b>', 'the image to compare it with')
      .action(
        act<[string, string]>(async (context, _flags, [a, b]) => {
          const data = await (await context.services.image()).diff(a, b, context.run);
          return { data, text: (style) => formatDifference(data, style), exitCode: data.same ? 0 : 1 };
        }),
      ),
};
