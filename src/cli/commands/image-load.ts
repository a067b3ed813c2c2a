import { resolve } from 'node:path';

import type { CommandModule } from '../command.ts';
import { formatSummaries } from '../render/image.ts';

export const imageLoad: CommandModule = {
  examples: [{ line: 'image load node.tar', what: 'what "kvci image save" wrote' }],
  define: (command, act) =>
    command.argument('<file>', 'file to read').action(
      act<[string]>(async (context, _flags, [file]) => {
        const images = await (await context.services.image()).load(resolve(context.cwd, file), context.run);
        return { data: { images }, text: () => formatSummaries(images) };
      }),
    ),
};
