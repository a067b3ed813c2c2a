import { parseDuration } from '../../core/durations.ts';
import { addClusterFlags, type ClusterFlags, wantedCluster } from '../cluster-flags.ts';
import { type CommandModule, flagValue } from '../command.ts';
import { addBuildFlags, type BuildFlags, buildSettings } from '../image-flags.ts';
import { planLine } from '../progress/format.ts';
import { clusterDocument, formatUp } from '../render/cluster.ts';

interface Flags extends ClusterFlags, BuildFlags {
  readonly timeout?: number;
  readonly keepOnFailure?: true;
  readonly dryRun?: true;
}

export const up: CommandModule = {
  examples: [
    { line: 'up', what: 'one node of the newest Kubernetes' },
    { line: 'up --k8s 1.31 --nodes 2', what: 'a control plane and a worker; the image is built first if it is not there' },
    { line: 'up lab --control-planes 3 --nodes 4', what: 'a cluster of another name with three control planes' },
    { line: 'up --ip-family ipv6 --image localhost/node:1.36', what: 'IPv6 only, from an image in the store' },
    { line: 'up --provider vm --nodes 2 --cpus 4 --memory 8G', what: 'nodes that are virtual machines' },
    { line: 'up --provider vm --control-plane-provider kind --nodes 2', what: 'only the worker is one: fast where there is no KVM' },
    { line: 'up --nodes 2 --dry-run', what: 'only show what would be done' },
  ],
  define: (command, act) =>
    addBuildFlags(
      addClusterFlags(command.argument('[name]', 'name of the cluster (default: kvci)')),
      'engine that builds the image and runs the nodes',
    )
      .option(
        '--timeout <duration>',
        'how long it may take once the image is there, such as 10m (default: 30m)',
        flagValue('--timeout', parseDuration),
      )
      .option('--keep-on-failure', 'leave what there is when it fails, to look at it and go on')
      .option('--dry-run', 'show the plan and change nothing')
      .action(
        act<[string | undefined], Flags>(async (context, flags, [name]) => {
          const loaded = await context.config();
          const wanted = wantedCluster(loaded, context.cwd, name, flags);
          const settings = {
            ...buildSettings(loaded, context.cwd, flags),
            keepOnFailure: flags.keepOnFailure ?? false,
            timeoutMs: flags.timeout,
          };
          const service = await context.services.cluster();
          if (flags.dryRun === true) {
            const steps = await service.plan(wanted, settings, context.run);
            return { data: { steps }, text: () => steps.map(planLine).join('\n') };
          }
          const { state, reused, kubeconfig } = await service.up(wanted, settings, context.run);
          return { data: { ...clusterDocument(state), reused, kubeconfig }, text: () => formatUp(state, reused, kubeconfig) };
        }),
      ),
};
