import { resolve } from 'node:path';

import { KvciError } from '../../core/errors.ts';
import { maskKnownSecrets } from '../../core/secret-patterns.ts';
import { formatSize } from '../../core/sizes.ts';
import type { CommandModule } from '../command.ts';
import { formatLogs } from '../render/cluster.ts';

export const logs: CommandModule = {
  examples: [
    { line: 'logs node01', what: 'the journal of a node; its console when it does not run' },
    { line: 'logs --cluster lab', what: 'of all nodes, each line with its node' },
    { line: 'logs --bundle logs.tar.gz', what: 'everything in one file: journals, consoles, pods, events, kubeadm; secrets masked' },
  ],
  define: (command, act) =>
    command
      .argument('[node]', 'name of a node (default: all)')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .option('--bundle <file>', 'write all that helps to understand into a .tar.gz')
      .action(
        act<[string | undefined], { readonly cluster?: string; readonly bundle?: string }>(async (context, flags, [node]) => {
          if (flags.bundle !== undefined && node !== undefined) {
            throw new KvciError('usage', 'bad-flag', '--bundle: is of all nodes; name none', { facts: { flag: '--bundle' } });
          }
          const service = await context.services.cluster();
          if (flags.bundle !== undefined) {
            const written = await service.bundle(flags.cluster, resolve(context.cwd, flags.bundle), context.run);
            return { data: written, text: () => `${written.file} (${written.files} files, ${formatSize(written.size)})` };
          }
          const found = await service.logs(flags.cluster, node, context.run);
          const masked = found.map((log) => ({ ...log, text: maskKnownSecrets(log.text) }));
          return { data: { nodes: masked }, text: () => formatLogs(masked) };
        }),
      ),
};
