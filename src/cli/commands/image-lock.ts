import type { CommandModule } from '../command.ts';
import { addImageFlags, type ImageFlags, imageOptions, lockFile } from '../image-flags.ts';
import { facts } from '../render/table.ts';

interface Flags extends ImageFlags {
  readonly lock?: string;
  readonly update?: true;
}

export const imageLock: CommandModule = {
  examples: [
    { line: 'image lock --k8s 1.31', what: 'add what is missing, change nothing that is there' },
    { line: 'image lock --k8s 1.31 --update', what: 'resolve every input anew' },
  ],
  define: (command, act) =>
    addImageFlags(command)
      .option('--lock <file>', 'lock file (default: kvci.lock beside kvci.yaml, else in the current folder)')
      .option('--update', 'resolve every input anew instead of only what is missing')
      .action(
        act<[], Flags>(async (context, flags) => {
          const loaded = await context.config();
          const data = await (
            await context.services.image()
          ).lock(
            imageOptions(loaded, flags),
            { lockFile: lockFile(loaded, context.cwd, flags.lock), folder: context.cwd, update: flags.update ?? false },
            context.run,
          );
          return {
            data,
            text: () =>
              facts([
                ['Lock', `${data.lockFile} (${data.changed ? 'written' : 'nothing was missing'})`],
                ['Kubernetes', data.kubernetes],
                ['Payload', data.payload],
              ]),
          };
        }),
      ),
};
