import type { CommandModule } from '../command.ts';
import { formatSnapshots, listedSnapshots } from '../render/snapshot.ts';

export const snapshotList: CommandModule = {
  examples: [{ line: 'snapshot list', what: 'all snapshots of this user' }],
  define: (command, act) =>
    command.action(
      act(async (context) => {
        const all = await (await context.services.snapshot()).list();
        return { data: listedSnapshots(all), text: () => formatSnapshots(all) };
      }),
    ),
};
