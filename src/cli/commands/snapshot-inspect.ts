import type { CommandModule } from '../command.ts';
import { formatSnapshot, snapshotDocument } from '../render/snapshot.ts';

export const snapshotInspect: CommandModule = {
  examples: [{ line: 'snapshot inspect ready', what: 'what it is of, and what it needs' }],
  define: (command, act) =>
    command.argument('<name>', 'name of the snapshot').action(
      act<[string]>(async (context, _flags, [name]) => {
        const found = await (await context.services.snapshot()).inspect(name);
        return { data: { ...snapshotDocument(found.record), size: found.size }, text: () => formatSnapshot(found) };
      }),
    ),
};
