import { Option } from 'commander';

import type { SandboxKind } from '../../sandbox/types.ts';
import { NODE_KINDS, type NodeKind } from '../../verify/types.ts';
import type { CommandModule } from '../command.ts';
import { addDiskFlags, type DiskFlags, givenDiskFlags, wantedDisk } from '../disk-flags.ts';
import { buildSettings } from '../image-flags.ts';
import { formatVerification, junitReport } from '../render/verify.ts';
import { sandboxFlag } from '../sandbox-flag.ts';

interface Flags extends DiskFlags {
  readonly as: NodeKind;
  readonly sandbox: SandboxKind;
  readonly facts?: string;
  readonly report?: string;
}

export const imageVerify: CommandModule = {
  junit: true,
  examples: [
    { line: 'image verify localhost/node:1.31', what: 'make a disk of an image, boot it in all kinds of networks, prove all facts' },
    { line: 'image verify node.qcow2 --facts ours.yaml', what: 'a disk, with expectations of your own' },
    { line: 'image verify localhost/node:1.31 --as container', what: 'what holds for nodes that are containers' },
    { line: 'image verify --k8s 1.31 --size 20G', what: 'build what is missing first, with the flags of "disk build"' },
    { line: 'image verify localhost/node:1.31 --output junit', what: 'for CI systems' },
  ],
  define: (command, act) =>
    addDiskFlags(command.argument('[ref|disk]', 'image in the store, a folder with an OCI layout, or a disk'))
      .addOption(new Option('--as <kind>', 'what to start it as').choices(NODE_KINDS).default('machine'))
      .addOption(sandboxFlag())
      .option('--facts <file>', 'YAML that adds to what is expected, or overrides it')
      .option('--report <file>', 'where the report goes, an unsigned in-toto statement (default: beside the disk)')
      .action(
        act<[string | undefined], Flags>(async (context, flags, [what]) => {
          const loaded = await context.config();
          const wanted = {
            disk: wantedDisk(loaded, what, flags, context.cwd),
            diskFlags: givenDiskFlags(flags),
            settings: buildSettings(loaded, context.cwd, {}),
            as: flags.as,
            sandbox: flags.sandbox,
            factsFile: flags.facts,
            report: flags.report,
          };
          const service = await context.services.verify();
          const { report, statement } = await service.verify(wanted, context.cwd, context.run);
          return {
            data: { ...report, statement },
            text: (style) => formatVerification(report, statement, style),
            junit: () => junitReport(report, context.run.clock.now()),
            exitCode: report.passed ? 0 : 1,
          };
        }),
      ),
};
