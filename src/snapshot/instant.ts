import type { ClusterOptions } from '../cluster/options.ts';
import type { NodeImage } from '../cluster/ports.ts';
import { refuseEngine } from '../cluster/refuse-engine.ts';
import { up, type UpRequest, type UpResult } from '../cluster/up.ts';
import { type Digest, digestOf, shortDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { SnapshotPorts } from './ports.ts';
import { removeSnapshot } from './remove.ts';
import { upFromSnapshot } from './restore.ts';
import { saveSnapshot } from './save.ts';

/** Of what makes a cluster what it is: its image and all options but its name. */
export function instantKey({ digest }: Pick<NodeImage, 'digest'>, options: ClusterOptions): Digest {
  const { name: _name, image: _image, ...rest } = options;
  return digestOf({ image: digest, options: JSON.parse(JSON.stringify(rest)) as Record<string, never> });
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
  const key = instantKey(image, request.options);
  const snapshot = `instant-${shortDigest(key)}`;
  if ((await ports.snapshots.names()).includes(snapshot)) {
    try {
      return await upFromSnapshot({ ...request, name, snapshot, cold: false, freshIdentity: false }, ports, run);
    } catch (error) {
      if (!(error instanceof KvciError) || !STALE.includes(error.code)) throw error;
      run.events({ type: 'problem', level: 'note', message: `the snapshot of this configuration is made anew: ${error.message}` });
      await removeSnapshot(snapshot, ports, run);
    }
  }
  const result = await up({ ...request, image: () => Promise.resolve(image) }, ports, run);
  await saveSnapshot(name, { name: snapshot, stop: false, key }, ports, run);
  return result;
}
