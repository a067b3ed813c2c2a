import type { CommandModule } from '../command.ts';

export const configSchema: CommandModule = {
  examples: [{ line: 'config schema > kvci.schema.json', what: 'for an editor that checks YAML' }],
  define: (command, act) =>
    command.action(
      act(async () => {
        const { configJsonSchema } = await import('../../config/schema.ts');
        const data = configJsonSchema();
        return { data, text: () => JSON.stringify(data, null, 2) };
      }),
    ),
};
