import { Argument } from 'commander';

import type { CommandModule } from '../command.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export const completion: CommandModule = {
  examples: [
    { line: 'completion bash > /etc/bash_completion.d/kvci', what: 'bash, for every user' },
    { line: 'completion zsh > ~/.zfunc/_kvci', what: 'zsh, where ~/.zfunc is in fpath' },
    { line: 'completion fish > ~/.config/fish/completions/kvci.fish', what: 'fish' },
  ],
  define: (command, act) =>
    command.addArgument(new Argument('<shell>', 'the shell that reads the script').choices(SHELLS)).action(
      act<[Shell]>(async (_context, _flags, [shell]) => {
        const { completionScript } = await import('../completion.ts');
        const script = completionScript(shell);
        return { data: { shell, script }, text: () => script };
      }),
    ),
};
