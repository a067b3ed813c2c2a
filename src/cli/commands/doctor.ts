import type { CommandModule } from '../command.ts';
import { formatDoctor } from '../render/host.ts';

export const doctor: CommandModule = {
  examples: [
    { line: 'doctor', what: 'every problem at once, each with the command that mends it' },
    { line: 'doctor --fix', what: 'show those commands, then run them (as root)' },
    { line: 'doctor --output json', what: 'for a bug report' },
  ],
  define: (command, act) =>
    command.option('--fix', 'install what is missing with the package manager of this host').action(
      act<[], { readonly fix?: true }>(async (context, flags) => {
        const host = await context.services.host();
        const data = await host.doctor({ fix: flags.fix ?? false }, context.run);
        return {
          data,
          text: (style) => formatDoctor(data, style),
          exitCode: data.checks.some((check) => check.status === 'error') ? 3 : 0,
        };
      }),
    ),
};
