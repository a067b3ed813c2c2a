import type { CommandModule } from '../command.ts';
import { formatSummaries } from '../render/image.ts';

export const imageList: CommandModule = {
  examples: [{ line: 'image list', what: 'by tag' }],
  define: (command, act) =>
    command.action(
      act(async (context) => {
        const images = await (await context.services.image()).list(context.run);
        return { data: { images }, text: () => formatSummaries(images) };
      }),
    ),
};
