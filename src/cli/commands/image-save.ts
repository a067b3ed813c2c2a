import { resolve } from 'node:path';

import { formatSize } from '../../core/sizes.ts';
import type { CommandModule } from '../command.ts';

export const imageSave: CommandModule = {
  examples: [{ line: 'image save localhost/node:1.31 node.tar', what: 'a tar of an OCI layout, for "kvci image load" on another host' }],
  define: (command, act) =>
    command
      .argument('<ref>', 'tag or digest of an image in the store')
      .argument('<file>', 'file to write')
      .action(
        act<[string, string]>(async (context, _flags, [ref, file]) => {
          const data = await (await context.services.image()).save(ref, resolve(context.cwd, file), context.run);
          return { data, text: () => `${data.file} (${formatSize(data.size)}, ${data.digest})` };
        }),
      ),
};
