import { parseCopy } from '../../cluster/copy-paths.ts';
import type { CommandModule } from '../command.ts';

export const cp: CommandModule = {
  examples: [
    { line: 'cp ./manifests node01:/root', what: 'a folder to a node' },
    { line: 'cp node02:/var/log/pods . --cluster lab', what: 'and from one' },
    { line: 'cp node01:/etc/kubernetes/admin.conf -', what: 'a file to standard output; "-" is also standard input' },
  ],
  define: (command, act) =>
    command
      .argument('<source>', 'file or folder: NODE:/path, a path of this host, or "-"')
      .argument('<destination>', 'where to, in the same way; a folder that is there is copied into')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .action(
        act<[string, string], { readonly cluster?: string }>(async (context, flags, [source, destination]) => {
          const service = await context.services.cluster();
          await service.copy(flags.cluster, parseCopy(source, destination), context.cwd, context.run);
          return { data: { source, destination }, text: () => '' };
        }),
      ),
};
