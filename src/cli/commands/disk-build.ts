import { resolve } from 'node:path';

import type { CommandModule } from '../command.ts';
import { addDiskFlags, type DiskFlags, wantedDisk } from '../disk-flags.ts';
import { addBuildFlags, type BuildFlags, buildSettings } from '../image-flags.ts';
import { addOutputFlag } from '../output-flag.ts';
import { planLine } from '../progress/format.ts';
import { formatDisk } from '../render/disk.ts';

interface Flags extends DiskFlags, BuildFlags {
  readonly output?: string;
  readonly dryRun?: true;
}

export const diskBuild: CommandModule = {
  examples: [
    { line: 'disk build localhost/node:1.31', what: 'a compressed qcow2 of 10 GB, kept in the cache' },
    { line: 'disk build --k8s 1.31 --output node.qcow2', what: 'build the image first if it must be, and put the disk here' },
    { line: 'disk build localhost/node:1.31 --format raw --size 20G', what: 'a sparse raw disk' },
    {
      line: 'disk build localhost/node:1.31 --ssh-key ~/.ssh/id_ed25519.pub --karg quiet',
      what: 'with a key for root and a kernel argument',
    },
    { line: 'disk build localhost/node:1.31 --dry-run', what: 'only show what would be done' },
  ],
  define: (command, act) =>
    addBuildFlags(
      addOutputFlag(
        addDiskFlags(command.argument('[image]', 'tag or digest of an image in the store, or a folder with an OCI layout')),
        'put a copy of the disk there',
      ),
      'engine that builds the image, and that converters which are containers run in',
    )
      .option('--dry-run', 'show the plan and change nothing')
      .action(
        act<[string | undefined], Flags>(async (context, flags, [image]) => {
          const loaded = await context.config();
          const wanted = wantedDisk(loaded, image, flags, context.cwd);
          const settings = buildSettings(loaded, context.cwd, flags);
          const service = await context.services.disk();
          if (flags.dryRun === true) {
            const steps = await service.plan(wanted, settings, context.run);
            return { data: { steps }, text: () => steps.map(planLine).join('\n') };
          }
          const output = flags.output === undefined ? undefined : resolve(context.cwd, flags.output);
          const built = await service.build(wanted, settings, output, context.run);
          return { data: built, text: () => formatDisk(built) };
        }),
      ),
};
