import { formatSize } from '../../core/sizes.ts';
import type { CommandModule } from '../command.ts';
import { addImageFlags, buildSettings, type ImageFlags, imageOptions } from '../image-flags.ts';
import { table } from '../render/table.ts';

interface Flags extends ImageFlags {
  readonly lock?: string;
  readonly locked?: true;
}

export const imageRender: CommandModule = {
  examples: [
    { line: 'image render --k8s 1.31', what: 'what "image build" would give to the engine' },
    { line: 'image render --k8s 1.34 --base fedora-42 --output json', what: 'with the digest of every file of the context' },
  ],
  define: (command, act) =>
    addImageFlags(command)
      .option('--lock <file>', 'lock file (default: kvci.lock beside kvci.yaml, else in the current folder)')
      .option('--locked', 'refuse when anything is missing from the lock')
      .action(
        act<[], Flags>(async (context, flags) => {
          const loaded = await context.config();
          const data = await (
            await context.services.image()
          ).render(imageOptions(loaded, flags), buildSettings(loaded, context.cwd, flags), context.run);
          return {
            data,
            text: () =>
              [
                data.containerfile.trimEnd(),
                '',
                '# Build context:',
                ...table(
                  ['# MODE', 'SIZE', 'DIGEST', 'PATH'],
                  data.context.map((file) => [
                    `# ${file.mode.toString(8).padStart(4, '0')}`,
                    formatSize(file.size),
                    file.digest,
                    file.path,
                  ]),
                ).split('\n'),
              ].join('\n'),
          };
        }),
      ),
};
