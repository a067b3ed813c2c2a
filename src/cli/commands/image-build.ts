import { formatSize } from '../../core/sizes.ts';
import { parseEngineChoice } from '../../host/engine/discovery.ts';
import type { CommandModule } from '../command.ts';
import { addImageFlags, type ImageFlags, imageOptions, lockFile } from '../image-flags.ts';
import { planLine } from '../progress/format.ts';
import { facts } from '../render/table.ts';

interface Flags extends ImageFlags {
  readonly lock?: string;
  readonly locked?: true;
  readonly cache: boolean;
  readonly dryRun?: true;
  readonly engine?: string;
}

export const imageBuild: CommandModule = {
  examples: [
    { line: 'image build --k8s 1.31', what: 'the newest 1.31 that is served, on Debian 13' },
    { line: 'image build --k8s 1.36.3 --tag localhost/node:1.36 --label team=ci', what: 'an exact version, tagged and labelled' },
    { line: 'image build --k8s stable --base centos-stream-10 --dry-run', what: 'only show what would be done' },
    { line: 'image build --k8s 1.31 --locked', what: 'refuse when kvci.lock lacks anything' },
    {
      line: 'image build --k8s 1.31 --preload addons.txt',
      what: 'with images of your own in it, a NAME:TAG@sha256:DIGEST a line',
    },
    { line: 'image build --k8s 1.31 --package tcpdump --file ./motd:/etc/motd', what: 'with a package and a file of your own' },
  ],
  define: (command, act) =>
    addImageFlags(command)
      .option('--lock <file>', 'lock file (default: kvci.lock beside kvci.yaml, else in the current folder)')
      .option('--locked', 'refuse when anything is missing from the lock')
      .option('--no-cache', 'build every layer again')
      .option('--dry-run', 'show the plan and change nothing')
      .option('--engine <engine>', 'auto, docker, podman, embedded (Podman started by kvci) or the address of an engine (default: auto)')
      .action(
        act<[], Flags>(async (context, flags) => {
          const loaded = await context.config();
          const options = imageOptions(loaded, flags);
          const service = await context.services.image();
          const how = {
            lockFile: lockFile(loaded, context.cwd, flags.lock),
            locked: flags.locked ?? false,
            noCache: !flags.cache,
            engine: parseEngineChoice(flags.engine ?? loaded.config.engine ?? 'auto'),
            folder: context.cwd,
          };
          if (flags.dryRun === true) {
            const steps = await service.plan(options, how, context.run);
            return { data: { steps }, text: () => steps.map(planLine).join('\n') };
          }
          const built = await service.build(options, how, context.run);
          return {
            data: built,
            text: () =>
              facts([
                ['Digest', built.digest],
                ...built.tags.map((tag) => ['Tag', tag] as const),
                ['Kubernetes', `${built.kubernetes} (payload: ${built.payload})`],
                ['Base', `${built.base}, ${built.architecture}`],
                ['Size', `${formatSize(built.size.compressed)} compressed, ${formatSize(built.size.unpacked)} unpacked`],
                ...built.preloaded.map(({ name, size }) => ['Preloaded', `${name}, ${formatSize(size)}`] as const),
                ['Lock', built.lockFile],
              ]),
          };
        }),
      ),
};
