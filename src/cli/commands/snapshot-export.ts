import { resolve } from 'node:path';

import { formatSize } from '../../core/sizes.ts';
import type { CommandModule } from '../command.ts';

export const snapshotExport: CommandModule = {
  examples: [{ line: 'snapshot export ready ready.kvci', what: 'for "kvci snapshot import" elsewhere, without a network' }],
  define: (command, act) =>
    command
      .argument('<name>', 'name of the snapshot')
      .argument('<file>', 'file to write; it holds the keys of the cluster, and is yours alone')
      .action(
        act<[string, string]>(async (context, _flags, [name, file]) => {
          const data = await (await context.services.snapshot()).exportTo(name, resolve(context.cwd, file), context.run);
          const holds = 'It holds the keys of the cluster: whoever can read it can enter nodes that were made of it.';
          return { data, text: () => `${data.file} (${formatSize(data.size)})\n${holds}` };
        }),
      ),
};
