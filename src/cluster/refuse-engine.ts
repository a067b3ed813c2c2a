import { KvciError } from '../core/errors.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { ClusterOptions } from './options.ts';
import { clusterProvider } from './spec.ts';

/** Only containers are in an engine of somebody's choice: nodes that are some, or the sandbox of virtual machines. @throws KvciError `engine-of-another` */
export function refuseEngine({ kind }: EngineChoice, options: ClusterOptions): void {
  const message = misplaced(kind, options);
  if (message === undefined) return;
  throw new KvciError('usage', 'engine-of-another', `--engine: ${message}`, {
    hint: 'Leave --engine out, or the key "engine" of kvci.yaml; "kvci image build" takes it for the image alone.',
    facts: { flag: '--engine' },
  });
}

function misplaced(kind: EngineChoice['kind'], options: ClusterOptions): string | undefined {
  const provided = clusterProvider(options);
  if (kind === 'auto' || provided === 'kind') return undefined;
  if (provided === 'vm' && options.sandbox === 'container') {
    return kind === 'embedded' ? "a sandbox that is a container is in an engine of this host, and kvci's own is in a sandbox" : undefined;
  }
  if (kind === 'embedded') return undefined;
  return provided === 'mixed'
    ? "containers beside virtual machines are in kvci's own engine"
    : 'nodes that are virtual machines in namespaces are in no engine; --sandbox container has them in one';
}
