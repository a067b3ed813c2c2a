import type { CommandModule } from '../command.ts';
import { facts } from '../render/table.ts';

export const version: CommandModule = {
  examples: [{ line: 'version --output json', what: 'for a bug report' }],
  define: (command, act) =>
    command.action(
      act((context) => {
        const data = { kvci: context.version, node: process.versions.node, platform: process.platform, architecture: process.arch };
        return {
          data,
          text: () =>
            facts([
              ['kvci', data.kvci],
              ['Node.js', data.node],
              ['Platform', `${data.platform}/${data.architecture}`],
            ]),
        };
      }),
    ),
};
