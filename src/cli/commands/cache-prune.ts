import { parseSize } from '../../core/sizes.ts';
import { type CommandModule, flagValue } from '../command.ts';
import { formatCachePrune } from '../render/host.ts';

export const cachePrune: CommandModule = {
  examples: [
    { line: 'cache prune --keep 20G', what: 'remove the least recently used until 20 GB are left' },
    { line: 'cache prune', what: 'keep what cache.keep of kvci.yaml says, else nothing' },
  ],
  define: (command, act) =>
    command.option('--keep <size>', 'how much to keep at most, such as 20G or 512MiB', flagValue('--keep', parseSize)).action(
      act<[], { readonly keep?: number }>(async (context, flags) => {
        const keep = flags.keep ?? parseSize((await context.config()).config.cache?.keep ?? '0');
        const data = await (await context.services.host()).cachePrune(keep, context.run);
        return { data, text: () => formatCachePrune(data) };
      }),
    ),
};
