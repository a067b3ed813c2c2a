import type { CommandModule } from '../command.ts';

export const imageRm: CommandModule = {
  examples: [{ line: 'image rm localhost/node:1.31', what: 'and the layers that no other image needs' }],
  define: (command, act) =>
    command.argument('<ref...>', 'tags or digests of images in the store').action(
      act<[readonly string[]]>(async (context, _flags, [refs]) => {
        const removed = await (await context.services.image()).remove(refs, context.run);
        return {
          data: { removed },
          text: () => removed.map((image) => (image.removed ? image.digest : image.untagged.join('\n'))).join('\n'),
        };
      }),
    ),
};
