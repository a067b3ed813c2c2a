import { type LocalForward, parseForward } from '../../cluster/local-forward.ts';
import { type CommandModule, flagValue } from '../command.ts';

interface Flags {
  readonly cluster?: string;
  readonly forward?: readonly LocalForward[];
  readonly onlyForward?: true;
}

export const ssh: CommandModule = {
  examples: [
    { line: 'ssh node01', what: 'a shell on a node' },
    { line: 'ssh node02 -- journalctl -u kubelet -f', what: 'a command, with its exit code' },
    { line: 'ssh node01 --cluster lab -- tar c /var/log > log.tar', what: 'through pipes' },
    { line: 'ssh node01 -N -L 9090:localhost:10257', what: "lead a port of this host to one of the node's, until Ctrl-C" },
  ],
  define: (command, act) => {
    const parse = flagValue('--forward', parseForward);
    command
      .argument('<node>', 'name of the node')
      .argument('[command...]', 'what to run instead of a shell, after "--"')
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .option(
        '-L, --forward <[bind:]port:host:hostport>',
        'lead connections to a port of this host on to an address that the node sees; may be given more than once',
        (text, before: readonly LocalForward[] | undefined) => [...(before ?? []), parse(text)],
      )
      .option('-N, --only-forward', 'run nothing on the node')
      .action(
        act<[string, readonly string[]], Flags>(async ({ services, run }, { cluster, forward = [], onlyForward }, [node, argv]) => {
          const what = onlyForward === true ? undefined : argv;
          const exitCode = await (await services.cluster()).enter(cluster, node, what, forward, run);
          return { data: { exitCode }, text: () => '', exitCode };
        }),
      );
  },
};
