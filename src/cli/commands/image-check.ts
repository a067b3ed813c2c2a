import { collect, type CommandModule } from '../command.ts';
import { formatCheck } from '../render/check.ts';

export const imageCheck: CommandModule = {
  examples: [
    { line: 'image check localhost/node:1.31', what: 'an image in the store' },
    { line: 'image check ./layout --output json', what: 'a folder with an OCI layout' },
    { line: 'image check localhost/node:1.31 --require nested-kvm --require vfio', what: 'also what KubeVirt needs of a node' },
  ],
  define: (command, act) =>
    command
      .argument('<ref|oci-dir>', 'image in the store, or a folder with an OCI layout')
      .option('--require <feature>', 'also require nested-kvm, vhost-net, vfio, openvswitch, iscsi or igb; may be repeated', collect)
      .action(
        act<[string], { readonly require?: readonly string[] }>(async (context, flags, [image]) => {
          const service = await context.services.image();
          const data = await service.check(image, { require: flags.require ?? [] }, context.run);
          return { data, text: (style) => formatCheck(data, style), exitCode: data.facts.some((fact) => fact.status === 'fail') ? 1 : 0 };
        }),
      ),
};
