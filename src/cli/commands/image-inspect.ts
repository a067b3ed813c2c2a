import type { CommandModule } from '../command.ts';
import { formatInspection } from '../render/image.ts';

export const imageInspect: CommandModule = {
  examples: [
    { line: 'image inspect localhost/node:1.31', what: 'labels, layers, where SBOM and provenance are' },
    { line: 'image inspect localhost/node:1.31 --output json', what: 'for scripts' },
  ],
  define: (command, act) =>
    command.argument('<ref>', 'tag or digest of an image in the store').action(
      act<[string]>(async (context, _flags, [ref]) => {
        const data = await (await context.services.image()).inspect(ref, context.run);
        return { data, text: () => formatInspection(data) };
      }),
    ),
};
