import { parseDuration } from '../../core/durations.ts';
import { KvciError } from '../../core/errors.ts';
import { type CommandModule, flagValue } from '../command.ts';
import { clusterDocument } from '../render/cluster.ts';

/** More than a host is likely to carry: a slip of the finger is told. */
const MOST = 50;

interface Flags {
  readonly count?: number;
  readonly timeout?: number;
}

export const fork: CommandModule = {
  examples: [
    { line: 'fork lab', what: 'a copy of the cluster "lab" as it is: lab-1' },
    { line: 'fork lab --count 3', what: 'three copies of one instant: lab-1, lab-2 and lab-3' },
  ],
  define: (command, act) =>
    command
      .argument('[cluster]', 'name of the cluster (default: the only one)')
      .option('--count <number>', 'how many copies (default: 1)', flagValue('--count', parseCount))
      .option('--timeout <duration>', 'how long each may take until it is Ready (default: 10m)', flagValue('--timeout', parseDuration))
      .action(
        act<[string | undefined], Flags>(async (context, flags, [cluster]) => {
          const wanted = { count: flags.count ?? 1, timeoutMs: flags.timeout };
          const results = await (await context.services.snapshot()).fork(cluster, wanted, context.run);
          return {
            data: { clusters: results.map(({ state, kubeconfig }) => ({ ...clusterDocument(state), kubeconfig })) },
            text: () => results.map(({ state, kubeconfig }) => `${state.name}: ${kubeconfig}`).join('\n'),
          };
        }),
      ),
};

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count > 0 && count <= MOST) return count;
  throw new KvciError('usage', 'bad-flag', `"${text}" is not a number of copies from 1 to ${MOST}`);
}
