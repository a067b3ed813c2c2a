import { deadline } from '../../core/deadline.ts';
import { KvciError } from '../../core/errors.ts';
import type { RunContext } from '../../core/plan.ts';
import type { Secret } from '../../core/secrets.ts';
import type { KubernetesApi } from '../../host/kubernetes.ts';
import { SIGNED_DEADLINE_MS } from '../deadlines.ts';
import { tokenId } from '../tokens.ts';
import { lastLogs } from './ready.ts';

const SIGNER = 'kube-controller-manager';

/**
 * Waits until the cluster's information is signed with a token, which the controller manager does soon after it has begun to work.
 * A `kubeadm join` that is earlier asks again only after five seconds.
 * https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#configmap-signing
 *
 * @throws KvciError `not-signed` with what the controller manager says
 */
export async function untilSigned(
  token: Secret,
  api: Pick<KubernetesApi, 'untilConfigMap' | 'view' | 'podLog'>,
  { clock, signal }: Pick<RunContext, 'clock' | 'signal'>,
): Promise<void> {
  const key = `jws-kubeconfig-${tokenId(token)}`;
  const late = new KvciError('timedOut', 'not-signed', 'the controller manager has not signed the information that nodes join by');
  using limit = deadline(clock, SIGNED_DEADLINE_MS, signal, () => late);
  try {
    await api.untilConfigMap({ namespace: 'kube-public', name: 'cluster-info' }, (data) => key in data, limit.signal);
  } catch (error) {
    if (error !== late) throw error;
    throw new KvciError(late.reason, late.code, [late.message, ...(await signers(api))].join('\n  '), {
      hint: '"kvci logs --bundle FILE" collects everything.',
    });
  }
}

/** For what only helps to understand. */
const LOOK_MS = 5_000;

async function signers(api: Pick<KubernetesApi, 'view' | 'podLog'>): Promise<readonly string[]> {
  const view = await api.view(AbortSignal.timeout(LOOK_MS)).catch(() => undefined);
  if (view === undefined) return ['the API server does not answer'];
  const pods = view.pods.filter(({ name }) => name.startsWith(SIGNER));
  return [...pods.map(({ name, ready, message }) => `pod ${name}: ${ready ? 'Ready' : message}`), ...(await lastLogs(pods, api))];
}
