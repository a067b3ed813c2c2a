import type { RunContext } from '../core/plan.ts';
import type { ClusterPorts } from './ports.ts';

/**
 * From here on an emulated control plane does not come up: the API server gives itself a minute for its first work and then ends.
 * Beside two busy processes on two processors `kubeadm init` failed after ten minutes.
 */
const TOO_BUSY = 0.6;

/**
 * Says before it starts that a bring-up of emulated nodes may fail for want of processors, and not ten minutes later. Called while kvci
 * itself does nothing else.
 */
export async function tellBusyHost({ cpuPressure }: Pick<ClusterPorts, 'cpuPressure'>, run: RunContext): Promise<void> {
  const pressure = await cpuPressure(run);
  if (pressure < TOO_BUSY) return;
  run.events({
    type: 'problem',
    level: 'warning',
    message: `the processors of this host are busy: something waits for them ${Math.round(pressure * 100)} % of the time; emulated nodes may not come up beside that`,
    hint: 'Wait until the host is quiet, or take nodes that are containers: --provider kind.',
  });
}
