import { resolve } from 'node:path';

import type { CommandModule } from '../command.ts';
import { snapshotDocument } from '../render/snapshot.ts';

export const snapshotImport: CommandModule = {
  examples: [
    { line: 'snapshot import ready.kvci', what: 'what "kvci snapshot export" wrote' },
    { line: 'snapshot import ready.kvci --name other', what: 'under another name' },
  ],
  define: (command, act) =>
    command
      .argument('<file>', 'file to read')
      .option('--name <name>', 'name of the snapshot here (default: the one that it had)')
      .action(
        act<[string], { readonly name?: string }>(async (context, { name }, [file]) => {
          const record = await (await context.services.snapshot()).importFrom(resolve(context.cwd, file), name, context.run);
          return {
            data: snapshotDocument(record),
            text: () =>
              `Imported ${record.name}. "kvci up --from-snapshot ${record.name} NAME" makes a cluster of it, with keys of its own.`,
          };
        }),
      ),
};
