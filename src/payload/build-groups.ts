import { type RunContext, runStep } from '../core/plan.ts';
import { type GoPrograms, type ProgramsParts, type ProgramsRequest, programsStep } from './go-programs.ts';
import type { ModulesInputs } from './modules-lock.ts';
import { PROGRAM_GROUPS, programGroup } from './program-groups.ts';
import type { Architecture, PayloadLock } from './types.ts';

/** How many `go build`s run at once: one compiles while the other links, which uses one core for much of its time. */
const BUILDS_AT_ONCE = 2;

/** What has to be built for a payload, the largest group first. */
export function programRequests(
  lock: Pick<PayloadLock, 'versions' | 'created'>,
  inputs: Pick<ModulesInputs, 'commit' | 'etcdctl' | 'groups' | 'go'>,
  architecture: Architecture,
): ProgramsRequest[] {
  const stamp = { versions: lock.versions, created: lock.created, commit: inputs.commit, etcdctl: inputs.etcdctl };
  return PROGRAM_GROUPS.map((name) => ({
    group: programGroup(name, stamp),
    files: inputs.groups[name],
    toolchain: inputs.go,
    architecture,
    versions: lock.versions,
  }));
}

/** Builds the groups or finds them built, in the order asked for and a few at a time; the first failure ends the others. */
export async function buildGroups(requests: readonly ProgramsRequest[], parts: ProgramsParts, run: RunContext): Promise<GoPrograms[]> {
  const failed = new AbortController();
  const inner = { ...run, signal: AbortSignal.any([run.signal, failed.signal]) };
  const built: GoPrograms[] = [];
  const queue = requests.entries();
  const work = async (): Promise<void> => {
    try {
      for (const [index, request] of queue) built[index] = await runStep(programsStep(request, parts), inner);
    } catch (error) {
      // The first reason stays: the others fail because of it.
      failed.abort(error);
    }
  };
  await Promise.all(Array.from({ length: BUILDS_AT_ONCE }, work));
  if (failed.signal.aborted) throw failed.signal.reason;
  return built;
}
