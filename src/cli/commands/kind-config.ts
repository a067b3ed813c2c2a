import { KvciError } from '../../core/errors.ts';
import { kindConfig } from '../../cluster/kind-config.ts';
import { IP_FAMILIES, MOST_CONTROL_PLANES, MOST_NODES } from '../../cluster/options.ts';
import { KVCI_LABELS } from '../../image/labels.ts';
import type { CommandModule } from '../command.ts';

interface Flags {
  readonly nodes: string;
  readonly controlPlanes: string;
  readonly ipFamily: string;
}

export const kindConfigCommand: CommandModule = {
  examples: [
    { line: 'kind config localhost/node:1.36 > kind.yaml', what: 'then: kind create cluster --config kind.yaml' },
    { line: 'kind config localhost/node:1.36 --nodes 3 --ip-family ipv4', what: 'a control plane and two workers' },
  ],
  define: (command, act) =>
    command
      .argument('<ref>', 'tag or digest of a node image in the store, by the name that the engine of kind knows it by')
      .option('--nodes <number>', 'number of nodes, control planes included', '2')
      .option('--control-planes <number>', "how many of them are control planes; several need kind's own image of a load balancer", '1')
      .option('--ip-family <family>', 'dual, ipv4 or ipv6', 'dual')
      .action(
        act<[string], Flags>(async (context, flags, [ref]) => {
          const ipFamily = IP_FAMILIES.find((family) => family === flags.ipFamily);
          if (ipFamily === undefined) throw badFlag('--ip-family', `"${flags.ipFamily}" is none of ${IP_FAMILIES.join(', ')}`);
          const nodes = count('--nodes', flags.nodes, MOST_NODES);
          const controlPlanes = count('--control-planes', flags.controlPlanes, MOST_CONTROL_PLANES);
          if (controlPlanes > nodes) throw badFlag('--control-planes', `${controlPlanes} control planes do not fit into ${nodes} nodes`);
          const { labels } = await (await context.services.image()).inspect(ref, context.run);
          const kubernetes = labels[KVCI_LABELS.kubernetes];
          if (kubernetes === undefined) {
            throw new KvciError('usage', 'not-a-node-image', `${ref} is not a node image of kvci's`, { hint: 'See "kvci image list".' });
          }
          const config = kindConfig({ image: ref, kubernetes, nodes, controlPlanes, ipFamily });
          return { data: { config }, text: () => config.trimEnd() };
        }),
      ),
};

function count(flag: string, text: string, most: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw badFlag(flag, `"${text}" is not a number from 1 to ${most}`);
}

function badFlag(flag: string, problem: string): KvciError {
  return new KvciError('usage', 'bad-flag', `${flag}: ${problem}`, { facts: { flag } });
}
