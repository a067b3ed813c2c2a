import type { ClusterOptions } from '../cluster/options.ts';
import type { NodeImage } from '../cluster/ports.ts';
import { refuseEngine } from '../cluster/refuse-engine.ts';
import { readTrusted, type Trusted } from '../cluster/registries.ts';
import { up, type UpRequest, type UpResult } from '../cluster/up.ts';
import { type Digest, digestOf, shortDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { SnapshotPorts } from './ports.ts';
import { removeSnapshot } from './remove.ts';
import { upFromSnapshot } from './restore.ts';
import { saveSnapshot } from './save.ts';

/** Of what makes a cluster what it is: its image, all options but its name, and the certificates that options name files of. */
export function instantKey({ digest }: Pick<NodeImage, 'digest'>, options: ClusterOptions, trusted: Trusted): Digest {
  const { name: _name, image: _image, cas: _cas, ...rest } = options;
  return digestOf({ image: digest, options: JSON.parse(JSON.stringify(rest)) as Record<string, never>, trusted });
}

/** Why a snapshot cannot be used any more, where making it anew helps. */
const STALE = ['snapshot-refused', 'snapshot-damaged', 'snapshot-needs-disk', 'snapshot-of-another-version'];

/**
 * Brings a cluster up from a snapshot of its configuration. Where there is none yet, or none that can be used here, it is brought up
 * as ever and saved for the next time.
 *
 * @throws KvciError as `up`, and as saving
 */
export async function upInstant(request: UpRequest, ports: SnapshotPorts, run: RunContext): Promise<UpResult> {
  const { name, provider } = request.options;
  if ((await ports.states.find(name)) !== undefined) return await up(request, ports, run);
  // What is saved are machines, whatever "auto" would take.
  refuseEngine(request.engine, { ...request.options, provider: provider === 'auto' ? 'vm' : provider });
  const image = await request.image(run);
  const key = instantKey(image, request.options, await readTrusted(request.options));
  const snapshot = `instant-${shortDigest(key)}`;
  if ((await ports.snapshots.names()).includes(snapshot)) {
    try {
      // What a refused one leaves would be taken for the cluster that is made anew.
      const { timeoutMs, engine } = request;
      const wanted = { name, snapshot, timeoutMs, engine, cold: false, freshIdentity: false, keepOnFailure: false };
      return await upFromSnapshot(wanted, ports, run);
    } catch (error) {
      if (!(error instanceof KvciError) || !STALE.includes(error.code)) throw error;
      run.events({ type: 'problem', level: 'note', message: `the snapshot of this configuration is made anew: ${error.message}` });
      await removeSnapshot(snapshot, ports, run);
    }
  }
  const result = await up({ ...request, image: () => Promise.resolve(image) }, ports, run);
  try {
    await saveSnapshot(name, { name: snapshot, stop: false, key }, ports, run);
  } catch (error) {
    // The cluster is what was asked for. Another of the same configuration may have been the first to be saved.
    if (!(error instanceof KvciError) || !['snapshot-exists', 'disk-full'].includes(error.code)) throw error;
    if (error.code === 'disk-full') {
      run.events({ type: 'problem', level: 'warning', message: `the cluster is Ready, and was not saved: ${error.message}` });
    }
  }
  return result;
}
