import { KvciError } from '../../core/errors.ts';
import type { CommandModule } from '../command.ts';
import { formatDuration } from '../progress/format.ts';
import { snapshotDocument } from '../render/snapshot.ts';

interface Flags {
  readonly name?: string;
  readonly stop?: true;
  readonly keepRunning?: true;
}

export const snapshotSave: CommandModule = {
  examples: [
    { line: 'snapshot save', what: 'the only cluster, which goes on' },
    { line: 'snapshot save lab --name ready', what: 'the cluster "lab", as "ready"' },
    { line: 'snapshot save lab --name ready --stop', what: 'and shut it down' },
  ],
  define: (command, act) =>
    command
      .argument('[cluster]', 'name of the cluster (default: the only one)')
      .option('--name <name>', 'name of the snapshot (default: that of the cluster, and the time)')
      .option('--keep-running', 'let the cluster go on (the default)')
      .option('--stop', 'shut the cluster down after that')
      .action(
        act<[string | undefined], Flags>(async (context, flags, [cluster]) => {
          if (flags.stop === true && flags.keepRunning === true) {
            throw new KvciError('usage', 'bad-flag', '--stop: and --keep-running exclude each other', { facts: { flag: '--stop' } });
          }
          const service = await context.services.snapshot();
          const record = await service.save(cluster, { name: flags.name, stop: flags.stop ?? false }, context.run);
          return {
            data: snapshotDocument(record),
            text: () =>
              `Saved ${record.cluster.name} as ${record.name}; it stood still for ${formatDuration(record.machines.pausedMs)}. "kvci up --from-snapshot ${record.name} NAME" makes another of it.`,
          };
        }),
      ),
};
