import type { Secret } from '../../core/secrets.ts';
import type { KubernetesApi } from '../../host/kubernetes.ts';
import { tokenId } from '../tokens.ts';

/**
 * Waits until the cluster's information is signed with a token, which the controller manager does soon after it has begun to work.
 * A `kubeadm join` that is earlier asks again only after five seconds.
 * https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#configmap-signing
 */
export function untilSigned(token: Secret, api: KubernetesApi, signal: AbortSignal): Promise<void> {
  const key = `jws-kubeconfig-${tokenId(token)}`;
  return api.untilConfigMap({ namespace: 'kube-public', name: 'cluster-info' }, (data) => key in data, signal);
}
