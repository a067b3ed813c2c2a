import { X509Certificate } from 'node:crypto';

import { parse, stringify } from 'yaml';
import { z } from 'zod';

import { COMMAND_DEADLINE_MS, KUBEADM_DEADLINE_MS } from '../cluster/deadlines.ts';
import type { ClusterState } from '../cluster/state.ts';
import { ADMIN_CONF } from '../cluster/steps/init.ts';
import type { NodeHandle } from '../machine/types.ts';

const DAY_MS = 24 * 60 * 60_000;

/** kubeadm's certificates live for a year: this much before the end they are made anew while everything still trusts them. */
const RENEW_BEFORE_MS = 60 * DAY_MS;

/** Programs that run over certificates with less than this left are started anew with new ones. */
const RESTART_BEFORE_MS = 7 * DAY_MS;

/** The group that kubeadm lets do everything (kubeadm 1.29 and later). */
const ADMINS = 'kubeadm:cluster-admins';

const CONFIG = '/run/kvci/kubeadm-user.yaml';

const usersSchema = z.looseObject({
  users: z.array(z.looseObject({ user: z.looseObject({ 'client-certificate-data': z.string() }) })).min(1),
});

/** When the certificate of a kubeconfig's first user ends, in milliseconds since the epoch; undefined where it has none. */
export function endOfCertificate(kubeconfig: string): number | undefined {
  const data = usersSchema.safeParse(parse(kubeconfig)).data?.users[0]?.user['client-certificate-data'];
  return data === undefined ? undefined : Date.parse(new X509Certificate(Buffer.from(data, 'base64')).validTo);
}

/** What is to be done about certificates that were made with that of a kubeconfig. */
export type Renewal = 'none' | 'files' | 'programs';

/**
 * Near their end they are made anew; whatever starts from then on takes them. A control plane takes minutes to start under emulation:
 * programs go on with what they have as long as that is good for some days.
 */
export function renewalOf(kubeconfig: string, now: number): Renewal {
  const end = endOfCertificate(kubeconfig);
  if (end === undefined || end - now >= RENEW_BEFORE_MS) return 'none';
  return end - now < RESTART_BEFORE_MS ? 'programs' : 'files';
}

/** What `kubeadm kubeconfig user` reads. */
export function userConfig({ name, kubernetes, endpoint }: Pick<ClusterState, 'name' | 'kubernetes' | 'endpoint'>): string {
  return stringify({
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'ClusterConfiguration',
    clusterName: name,
    kubernetesVersion: `v${kubernetes}`,
    controlPlaneEndpoint: endpoint,
  });
}

/** An administrator's kubeconfig of a new name and key, which the cluster's CA signs. */
export async function newCredentials(
  node: NodeHandle,
  state: Pick<ClusterState, 'name' | 'run' | 'kubernetes' | 'endpoint'>,
  signal: AbortSignal,
): Promise<string> {
  await node.write([{ path: CONFIG, content: userConfig(state), mode: 0o600 }], signal);
  const name = `kvci-${state.name}-${state.run}`;
  const argv = ['kubeadm', 'kubeconfig', 'user', '--client-name', name, '--org', ADMINS, '--config', CONFIG] as const;
  return (await node.run(argv, { timeoutMs: KUBEADM_DEADLINE_MS, signal })).stdout;
}

/**
 * The programs of a control plane, by which the kernel knows them: at most 15 letters. kubelet starts each again, with its new
 * certificate.
 */
const PROGRAMS = ['kube-apiserver', 'kube-controller', 'kube-scheduler', 'etcd'];

/** Makes all certificates of a control plane anew, from the CA that it has, and answers the administrator's kubeconfig. */
export async function renewCertificates(node: NodeHandle, what: Exclude<Renewal, 'none'>, signal: AbortSignal): Promise<string> {
  await node.run(['kubeadm', 'certs', 'renew', 'all'], { timeoutMs: KUBEADM_DEADLINE_MS, signal });
  for (const program of what === 'programs' ? PROGRAMS : []) {
    // Exit code 1: it runs no program of that name.
    await node.run(['pkill', '--exact', program], { accept: [1], timeoutMs: COMMAND_DEADLINE_MS, signal });
  }
  return (await node.run(['cat', ADMIN_CONF], { timeoutMs: COMMAND_DEADLINE_MS, signal })).stdout;
}
