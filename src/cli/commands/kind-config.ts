import { KvciError } from '../../core/errors.ts';
import { kindConfig } from '../../cluster/kind-config.ts';
import { IP_FAMILIES, MOST_CONTROL_PLANES, MOST_NODES } from '../../cluster/options.ts';
import { KVCI_LABELS } from '../../image/labels.ts';
import type { CommandModule } from '../command.ts';

interface Flags {
  readonly nodes: string;
  readonly controlPlanes: string;
  readonly ipFamily?: string;
  readonly image?: string;
}

export const kindConfigCommand: CommandModule = {
  examples: [
    { line: 'kind config localhost/node:1.36 > kind.yaml', what: 'then: kind create cluster --config kind.yaml' },
    { line: 'kind config localhost/node:1.36 --nodes 3 --ip-family ipv4', what: 'a control plane and two workers' },
    { line: 'kind config 1f3a5c --image localhost/node:1.36', what: 'of an image in the store that the engine knows by another name' },
  ],
  define: (command, act) =>
    command
      .argument('<ref>', 'tag or digest of a node image in the store')
      .option('--image <name>', 'what the engine of kind calls it, where that is not REF')
      .option('--nodes <number>', 'number of nodes, control planes included', '2')
      .option('--control-planes <number>', "how many of them are control planes; several need kind's own image of a load balancer", '1')
      .option('--ip-family <family>', 'dual, ipv4 or ipv6; default: dual, where this host has IPv6')
      .action(
        act<[string], Flags>(async (context, flags, [ref]) => {
          const ipFamily = await familyOf(flags.ipFamily);
          const nodes = count('--nodes', flags.nodes, MOST_NODES);
          const controlPlanes = count('--control-planes', flags.controlPlanes, MOST_CONTROL_PLANES);
          if (controlPlanes > nodes) throw badFlag('--control-planes', `${controlPlanes} control planes do not fit into ${nodes} nodes`);
          const image = flags.image ?? ref;
          if (/^(?:sha256:)?[0-9a-f]{6,64}$/.test(image)) {
            throw badFlag(
              '--image',
              `no engine knows an image as "${image}": write the name that it has there, such as localhost/node:1.36`,
            );
          }
          const { labels, runtime } = await (await context.services.image()).inspect(ref, context.run);
          const kubernetes = labels[KVCI_LABELS.kubernetes];
          if (kubernetes === undefined) {
            throw new KvciError('usage', 'not-a-node-image', `${ref} is not a node image of kvci's`, { hint: 'See "kvci image list".' });
          }
          if (runtime !== 'containerd') {
            throw new KvciError('usage', 'no-containerd', `${ref} has ${runtime ?? 'no runtime'}: kind's nodes run containerd`, {
              hint: 'Build one on a base whose nodes do: --base debian-13.',
            });
          }
          const config = kindConfig({ image, kubernetes, nodes, controlPlanes, ipFamily });
          return { data: { config }, text: () => config.trimEnd() };
        }),
      ),
};

async function familyOf(flag: string | undefined): Promise<(typeof IP_FAMILIES)[number]> {
  if (flag === undefined) {
    const { hasIpv6 } = await import('../../machine/container/checks.ts');
    return (await hasIpv6()) ? 'dual' : 'ipv4';
  }
  const family = IP_FAMILIES.find((one) => one === flag);
  if (family === undefined) throw badFlag('--ip-family', `"${flag}" is none of ${IP_FAMILIES.join(', ')}`);
  return family;
}

function count(flag: string, text: string, most: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw badFlag(flag, `"${text}" is not a number from 1 to ${most}`);
}

function badFlag(flag: string, problem: string): KvciError {
  return new KvciError('usage', 'bad-flag', `${flag}: ${problem}`, { facts: { flag } });
}
