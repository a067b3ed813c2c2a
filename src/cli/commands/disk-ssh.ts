import type { CommandModule } from '../command.ts';

export const diskSsh: CommandModule = {
  examples: [
    { line: 'disk ssh lab', what: 'a shell on the machine that "disk boot --name lab" started' },
    { line: 'disk ssh lab -- systemctl --failed', what: 'a command, with its exit code' },
  ],
  define: (command, act) =>
    command
      .argument('<name>', 'name of the machine: see "kvci disk boot --list"')
      .argument('[command...]', 'what to run instead of a shell, after "--"')
      .action(
        act<[string, readonly string[]]>(async (context, _flags, [name, argv]) => {
          const exitCode = await (await context.services.boot()).enter(name, argv, context.run);
          return { data: { exitCode }, text: () => '', exitCode };
        }),
      ),
};
