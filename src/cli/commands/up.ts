import { DEFAULT_CLUSTER } from '../../cluster/options.ts';
import type { UpResult } from '../../cluster/up.ts';
import { KvciError } from '../../core/errors.ts';
import { parseDuration } from '../../core/durations.ts';
import { addClusterFlags, type ClusterFlags, wantedCluster } from '../cluster-flags.ts';
import { type CommandModule, type CommandResult, flagValue } from '../command.ts';
import { addBuildFlags, type BuildFlags, buildSettings } from '../image-flags.ts';
import { planLine } from '../progress/format.ts';
import { clusterDocument, formatUp } from '../render/cluster.ts';

interface Flags extends ClusterFlags, BuildFlags {
  readonly timeout?: number;
  readonly keepOnFailure?: true;
  readonly instant?: true;
  readonly fromSnapshot?: string;
  readonly cold?: true;
  readonly freshIdentity?: true;
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
    { line: 'up lab --engine ssh://core@builder.example', what: 'nodes in the Docker of another host; kubeconfigs work on this one' },
    { line: 'up --nodes 2 --instant', what: 'two virtual machines; from the second time on Ready in seconds' },
    { line: 'up --from-snapshot ready lab', what: 'the cluster "lab", as what was saved as "ready"' },
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
      .option('--instant', 'of virtual machines: from a snapshot of the same configuration, which the first time makes')
      .option('--from-snapshot <name>', 'what was saved with "kvci snapshot save"; other flags of clusters do not go with it')
      .option('--cold', 'with --from-snapshot: boot the nodes from their saved disks, without their memory')
      .option('--fresh-identity', 'with --from-snapshot: new keys for nodes and for their administrator')
      .option('--dry-run', 'show the plan and change nothing')
      .action(
        act<[string | undefined], Flags>(async (context, flags, [name]) => {
          checkSnapshotFlags(command.opts(), flags);
          if (flags.fromSnapshot !== undefined) {
            const { keepOnFailure = false, timeout: timeoutMs, fromSnapshot: snapshot, cold = false, freshIdentity = false } = flags;
            const request = { name: name ?? DEFAULT_CLUSTER, snapshot, cold, freshIdentity, keepOnFailure, timeoutMs };
            return answer(await (await context.services.snapshot()).up(request, context.run));
          }
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
          if (flags.instant === true) return answer(await (await context.services.snapshot()).instant(wanted, settings, context.run));
          return answer(await service.up(wanted, settings, context.run));
        }),
      ),
};

function answer({ state, reused, kubeconfig }: UpResult): CommandResult {
  return { data: { ...clusterDocument(state), reused, kubeconfig }, text: () => formatUp(state, reused, kubeconfig) };
}

/** What goes with a snapshot, which has all else: by the names that commander gives them. */
const BESIDE_SNAPSHOT = new Set(['fromSnapshot', 'cold', 'freshIdentity', 'timeout', 'keepOnFailure']);

/** @throws KvciError `bad-flag` */
function checkSnapshotFlags(given: Readonly<Record<string, unknown>>, { fromSnapshot, cold, freshIdentity, instant, dryRun }: Flags): void {
  const refuse = (flag: string, message: string): never => {
    throw new KvciError('usage', 'bad-flag', `${flag}: ${message}`, { facts: { flag } });
  };
  if (cold === true && fromSnapshot === undefined) refuse('--cold', 'goes with --from-snapshot');
  if (freshIdentity === true && fromSnapshot === undefined) refuse('--fresh-identity', 'goes with --from-snapshot');
  if (instant === true && dryRun === true) refuse('--instant', 'has no plan that could be shown: leave --dry-run out');
  if (fromSnapshot === undefined) return;
  const other = Object.keys(given).find((key) => given[key] !== undefined && !BESIDE_SNAPSHOT.has(key));
  if (other === undefined) return;
  refuse(
    `--${other.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    'does not go with --from-snapshot: a snapshot has all that a cluster is',
  );
}
