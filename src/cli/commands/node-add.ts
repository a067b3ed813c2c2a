import { parseDuration } from '../../core/durations.ts';
import { KvciError } from '../../core/errors.ts';
import { type CommandModule, flagValue } from '../command.ts';
import { clusterDocument } from '../render/cluster.ts';

interface Flags {
  readonly controlPlane?: true;
  readonly count?: number;
  readonly cluster?: string;
  readonly timeout?: number;
}

export const nodeAdd: CommandModule = {
  examples: [
    { line: 'node add', what: 'a worker' },
    { line: 'node add --count 3 --cluster lab', what: 'three workers of the cluster "lab"' },
    { line: 'node add --control-plane', what: 'a control plane, where there are several' },
  ],
  define: (command, act) =>
    command
      .option('--control-plane', 'a control plane instead of a worker')
      .option('--count <number>', 'how many (default: 1)', flagValue('--count', parseCount))
      .option('--cluster <name>', 'the cluster (default: the only one)')
      .option('--timeout <duration>', 'how long it may take, such as 10m (default: 30m)', flagValue('--timeout', parseDuration))
      .action(
        act<[], Flags>(async (context, flags) => {
          const role = flags.controlPlane === true ? 'control-plane' : 'worker';
          const request = { role, count: flags.count ?? 1, timeoutMs: flags.timeout } as const;
          const { state, added } = await (await context.services.cluster()).addNodes(flags.cluster, request, context.run);
          return { data: { ...clusterDocument(state), added }, text: () => `Added ${added.join(', ')} to ${state.name}` };
        }),
      ),
};

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count > 0) return count;
  throw new KvciError('usage', 'bad-flag', `"${text}" is not a number of nodes`);
}
