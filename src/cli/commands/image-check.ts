import { InvalidArgumentError, Option } from 'commander';

import { FACT_GROUPS, type FactGroup } from '../../image/check/types.ts';
import type { CommandModule } from '../command.ts';
import { formatCheck } from '../render/check.ts';

export const imageCheck: CommandModule = {
  examples: [
    { line: 'image check localhost/node:1.31', what: 'an image in the store' },
    { line: 'image check ./layout --output json', what: 'a folder with an OCI layout' },
    { line: 'image check localhost/node:1.31 --require kubevirt', what: 'also what KubeVirt needs of a node' },
  ],
  define: (command, act) =>
    command
      .argument('<ref|oci-dir>', 'image in the store, or a folder with an OCI layout')
      .addOption(
        new Option('--require <group>', 'also require what a use of the node needs; may be repeated')
          .choices(FACT_GROUPS)
          .argParser(collectGroup),
      )
      .action(
        act<[string], { readonly require?: readonly FactGroup[] }>(async (context, flags, [image]) => {
          const service = await context.services.image();
          const data = await service.check(image, flags.require ?? [], context.run);
          return { data, text: (style) => formatCheck(image, data, style), exitCode: data.passed ? 0 : 1 };
        }),
      ),
};

function collectGroup(word: string, previous: readonly FactGroup[] = []): readonly FactGroup[] {
  const group = FACT_GROUPS.find((name) => name === word);
  if (group === undefined) throw new InvalidArgumentError(`Allowed choices are ${FACT_GROUPS.join(', ')}.`);
  return [...previous, group];
}
