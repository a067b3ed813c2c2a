import { KvciError } from '../core/errors.ts';
import type { RecordedRun } from '../core/recorded-run.ts';
import { type RunRecords, readRuns } from '../host/run-records.ts';
import { chooseCluster } from './find-cluster.ts';
import type { ClusterStates } from './state.ts';

export interface FoundRuns {
  /** Of the cluster, or of the run. */
  readonly name: string;
  /** Newest first; at least one. */
  readonly runs: readonly [RecordedRun, ...RecordedRun[]];
}

/** How many names an error shows. */
const SHOWN = 3;

/**
 * What was recorded of a cluster, or a run of another kind by its name in `<state>/runs` or the beginning of that. Without a name the
 * only cluster's, else the newest run.
 *
 * @throws KvciError `run-not-found`, `cluster-ambiguous`
 */
export async function findRuns(name: string | undefined, states: ClusterStates, records: RunRecords): Promise<FoundRuns> {
  const others = await records.names();
  const clusters = await states.names();
  if (name === undefined ? clusters.length > 0 : clusters.includes(name)) {
    // Also of one whose state cannot be read.
    const cluster = name ?? (await chooseCluster(undefined, states)).name;
    return newestFirst(cluster, await readRuns(states.files(cluster).events), others);
  }
  const newest = others.at(-1);
  const found = name === undefined ? newest : others.findLast((other) => other.startsWith(name));
  if (found === undefined) throw notFound(name, others);
  return newestFirst(found, await records.read(found), others);
}

function newestFirst(name: string, runs: readonly RecordedRun[], others: readonly string[]): FoundRuns {
  const [newest, ...older] = runs.toReversed();
  if (newest === undefined) throw notFound(name, others);
  return { name, runs: [newest, ...older] };
}

function notFound(name: string | undefined, others: readonly string[]): KvciError {
  const shown = others.slice(-SHOWN).toReversed();
  return new KvciError(
    'notFoundOrExists',
    'run-not-found',
    name === undefined ? 'nothing was recorded yet' : `nothing was recorded of "${name}"`,
    {
      hint: shown.length === 0 ? '"kvci up" and "kvci image build" record what they do.' : `The newest runs are ${shown.join(', ')}.`,
    },
  );
}
