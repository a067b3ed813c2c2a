import { parseEngineChoice } from '../../host/engine/discovery.ts';
import { collect, type CommandModule } from '../command.ts';
import { formatLoad } from '../render/load.ts';

interface Flags {
  readonly cluster?: string;
  readonly node?: readonly string[];
  readonly engine?: string;
}

export const load: CommandModule = {
  examples: [
    { line: 'load quay.io/org/operator:v1', what: "from kvci's store, an engine that runs here, or its registry: the first that has it" },
    { line: 'load operator.tar --cluster lab', what: 'what "docker save" or "podman save" wrote' },
    { line: 'load localhost/operator:dev --node node02', what: 'into one node only' },
  ],
  define: (command, act) =>
    command
      .argument('<image...>', 'references, and files of archives')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .option('--node <name>', 'a node; may be given more than once (default: all)', collect)
      .option('--engine <engine>', 'where images are looked for: auto, docker, podman, embedded (none), a socket or a URL (default: auto)')
      .action(
        act<[readonly string[]], Flags>(async (context, flags, [words]) => {
          const { config } = await context.config();
          const engine = parseEngineChoice(flags.engine ?? config.engine ?? 'auto');
          const service = await context.services.cluster();
          const data = await service.load(flags.cluster, { words, nodes: flags.node ?? [], engine, cwd: context.cwd }, context.run);
          return { data, text: () => formatLoad(data) };
        }),
      ),
};
