import { KvciError, messageOf } from '../../core/errors.ts';
import { lastLines } from '../../host/command-error.ts';
import type { Machines } from '../../machine/types.ts';
import type { ClusterRun, StepOutput } from '../cluster-run.ts';

/**
 * A step on a node. Where it fails because the node has died, that is told, and what it did to a command on it beside that. A node
 * that could not be made or started has not died: why is what matters then.
 *
 * @throws KvciError `node-died`, and as {@link ClusterRun.step}
 */
export function nodeStep<T>(
  run: Pick<ClusterRun, 'step' | 'context' | 'state'>,
  machines: Pick<Machines, 'list' | 'console'>,
  id: string,
  title: string,
  node: string,
  work: (output: StepOutput) => Promise<T>,
): Promise<T> {
  return run.step(id, title, node, async (output) => {
    try {
      return await work(output);
    } catch (error) {
      if (run.context.signal.aborted || !canBeDeath(error) || !(await hasDied(node, machines))) throw error;
      const console = await machines.console(node).catch(() => '');
      throw new KvciError(
        'failed',
        'node-died',
        [`${node} does not run any more: ${messageOf(error)}`, 'the end of its console:', lastLines(console)].join('\n'),
        {
          hint: `"kvci up ${run.state.name}" tries again.`,
          cause: error,
        },
      );
    }
  });
}

/** An engine that is gone does not tell: then that is what failed. */
async function hasDied(name: string, machines: Pick<Machines, 'list'>): Promise<boolean> {
  const there = await machines.list().catch(() => undefined);
  return there?.some((machine) => machine.name === name && machine.state !== 'running') ?? false;
}

/** What the host or its user lacks is another reason, and a node that ends at once has told its own. */
function canBeDeath(error: unknown): boolean {
  return error instanceof KvciError && ['failed', 'timedOut'].includes(error.reason) && error.code !== 'node-ended';
}
