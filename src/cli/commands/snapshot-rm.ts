import type { CommandModule } from '../command.ts';

export const snapshotRm: CommandModule = {
  examples: [
    { line: 'snapshot rm ready', what: 'clusters that came from it go on' },
    { line: 'snapshot rm ready older', what: 'several' },
  ],
  define: (command, act) =>
    command.argument('<names...>', 'names of snapshots').action(
      act<[readonly string[]]>(async (context, _flags, [names]) => {
        await (await context.services.snapshot()).remove(names, context.run);
        return { data: { removed: names }, text: () => `Removed ${names.join(', ')}` };
      }),
    ),
};
