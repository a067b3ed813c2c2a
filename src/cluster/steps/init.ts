import { X509Certificate } from 'node:crypto';

import { isSeq, parseDocument } from 'yaml';

import { type Digest, sha256 } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { NodeHandle } from '../../machine/types.ts';
import { COMMAND_DEADLINE_MS, KUBEADM_DEADLINE_MS } from '../deadlines.ts';
import { initConfig, type InitSecrets, type KubeadmCluster, tokenConfig } from '../kubeadm.ts';
import { kubeadmPatches } from '../patches.ts';
import type { StepOutput } from '../cluster-run.ts';
import type { BootedNode } from './boot.ts';
import type { ClusterState } from '../state.ts';
import { isMember, markMember } from './member.ts';

const CONFIG = '/etc/kubernetes/kvci-init.yaml';
const TOKEN_CONFIG = '/etc/kubernetes/kvci-token.yaml';
const CA = '/etc/kubernetes/pki/ca.crt';
export const ADMIN_CONF = '/etc/kubernetes/admin.conf';

/**
 * Makes the certificates of a cluster on its first node. They come first and alone, so that others can begin to join, with the
 * CA's hash in hand, while the control plane starts.
 */
export async function makeCertificates(
  { node, handle, facts }: BootedNode,
  cluster: KubeadmCluster,
  secrets: InitSecrets,
  signal: AbortSignal,
  output: StepOutput,
): Promise<Digest> {
  await resetNode(handle, signal);
  const config = initConfig(cluster, { name: node.name, addresses: handle.addresses, facts }, secrets);
  await handle.write([{ path: CONFIG, content: config, mode: 0o600 }, ...kubeadmPatches(cluster.kubernetes, facts)], signal);
  await kubeadm(handle, ['init', 'phase', 'certs', 'all', '--config', CONFIG], signal, output);
  return caHash(handle, signal);
}

/** Where kubelet keeps the newest of its certificates, with its key. */
const ROTATED = '/var/lib/kubelet/pki/kubelet-client-current.pem';
const KUBELET_CONF = '/etc/kubernetes/kubelet.conf';
/** kubeadm's phase that has kubelet take its certificate from there. */
const FINALIZE = 'kubelet-finalize';

/** What kubeadm says when the API has all that a joining node asks for first. */
const JOINABLE = 'Creating the "cluster-info" ConfigMap';

/** Runs `kubeadm init` over the certificates that are there. `onJoinable` is called as soon as workers may join. */
export async function initControlPlane(
  { handle }: BootedNode,
  secrets: InitSecrets,
  signal: AbortSignal,
  output: StepOutput,
  onJoinable: () => void,
): Promise<void> {
  const upload = secrets.certificateKey === undefined ? [] : ['--upload-certs'];
  await kubeadm(handle, ['init', '--config', CONFIG, `--skip-phases=${FINALIZE}`, ...upload], signal, {
    line: (line) => {
      if (line.includes(JOINABLE)) onJoinable();
      output.line(line);
    },
  });
  await letKubeletRotate(handle, signal);
  // It holds the token.
  await handle.run(['rm', '-f', CONFIG], { timeoutMs: COMMAND_DEADLINE_MS, signal });
  await markMember(handle, signal);
}

/**
 * What kubeadm's phase does but for the restart of kubelet at the end, before which no pod of the node starts: seconds, and twenty where it
 * is emulated. kubelet renews the certificate in that file from its start; which one it is to take it has to know at its next start only.
 */
async function letKubeletRotate(handle: NodeHandle, signal: AbortSignal): Promise<void> {
  const options = { timeoutMs: COMMAND_DEADLINE_MS, signal };
  await handle.run(['test', '-e', ROTATED], options);
  const { stdout } = await handle.run(['cat', KUBELET_CONF], options);
  await handle.write([{ path: KUBELET_CONF, content: rotatable(stdout), mode: 0o600 }], signal);
}

/** A kubeconfig of kubelet that names the file in which kubelet keeps its certificate and key, instead of holding them. */
export function rotatable(kubeconfig: string): string {
  const config = parseDocument(kubeconfig);
  const users = config.get('users');
  if (!isSeq(users) || users.items.length === 0) throw new KvciError('failed', 'bad-kubeconfig', `${KUBELET_CONF} names no user`);
  config.setIn(['users', 0, 'user'], { 'client-certificate': ROTATED, 'client-key': ROTATED });
  return config.toString({ lineWidth: 0 });
}

/** Lets nodes join a control plane that stands: a new token and, for control planes, the certificates once more. */
export async function prepareJoin(handle: NodeHandle, secrets: InitSecrets, life: string, signal: AbortSignal): Promise<void> {
  const options = { timeoutMs: COMMAND_DEADLINE_MS, signal, env: { KUBECONFIG: ADMIN_CONF } };
  // In a file: arguments can be read by every process of the node.
  await handle.write([{ path: TOKEN_CONFIG, content: tokenConfig(secrets, life), mode: 0o600 }], signal);
  try {
    await handle.run(['kubeadm', 'init', 'phase', 'bootstrap-token', '--config', TOKEN_CONFIG], options);
    if (secrets.certificateKey !== undefined) {
      await handle.run(['kubeadm', 'init', 'phase', 'upload-certs', '--upload-certs', '--config', TOKEN_CONFIG], options);
    }
  } finally {
    await handle.run(['rm', '-f', TOKEN_CONFIG], { timeoutMs: COMMAND_DEADLINE_MS });
  }
}

/** The hash by which joining nodes know the CA: SHA-256 over its public key, as kubeadm computes it. */
export async function caHash(handle: NodeHandle, signal: AbortSignal): Promise<Digest> {
  const { stdout } = await handle.run(['cat', CA], { timeoutMs: COMMAND_DEADLINE_MS, signal });
  return publicKeyHash(stdout);
}

export function publicKeyHash(certificate: string): Digest {
  return sha256(new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' }));
}

/** What kubeadm and kubelet leave: in the node, and in /var, whose volume stays where somebody else removes the container. */
const TRACES = ['/etc/kubernetes/pki', '/etc/kubernetes/kubelet.conf', '/var/lib/etcd/member', '/var/lib/kubelet/pki'];

/**
 * A control plane that is made anew knows nothing of what the cluster held, and its nodes do not know it.
 *
 * @param leader the control plane that is a member, where there is one
 * @throws KvciError `control-plane-lost`
 */
export async function refuseLostControlPlane(
  { name, nodes }: Pick<ClusterState, 'name' | 'nodes'>,
  leader: NodeHandle,
  signal: AbortSignal,
): Promise<void> {
  if (!nodes.some(({ role, joined }) => role === 'control-plane' && joined) || (await isMember(leader, signal))) return;
  throw new KvciError(
    'failed',
    'control-plane-lost',
    `the control plane of the cluster "${name}" is gone, and with it all that the cluster held`,
    {
      hint: `Somebody else removed what it was in. Remove the rest with "kvci down ${name}" and make the cluster anew.`,
    },
  );
}

/**
 * Takes away what a run that was ended left of kubeadm's work, the program itself too: it goes on when whoever started it is
 * killed. Answers whether there was anything.
 */
export async function resetNode(handle: NodeHandle, signal: AbortSignal): Promise<boolean> {
  await handle.run(['pkill', '-KILL', '--exact', 'kubeadm'], { accept: [1], timeoutMs: COMMAND_DEADLINE_MS, signal });
  const { exitCode } = await handle.run(['test', ...TRACES.flatMap((path, at) => [...(at === 0 ? [] : ['-o']), '-e', path])], {
    accept: [1],
    signal,
  });
  if (exitCode !== 0) return false;
  await handle.run(['kubeadm', 'reset', '--force'], { timeoutMs: KUBEADM_DEADLINE_MS, signal });
  return true;
}

export async function kubeadm(handle: NodeHandle, args: readonly string[], signal: AbortSignal, output: StepOutput): Promise<void> {
  try {
    await handle.run(['kubeadm', ...args], {
      timeoutMs: KUBEADM_DEADLINE_MS,
      signal,
      onLine: (line) => {
        output.line(line);
      },
    });
  } catch (error) {
    if (!(error instanceof KvciError) || error.code !== 'command-failed') throw error;
    const kubelet = await handle
      .run(['journalctl', '--unit', 'kubelet', '--no-pager', '--lines', '15', '--output', 'cat'], {
        timeoutMs: COMMAND_DEADLINE_MS,
        signal,
      })
      .then(
        ({ stdout }) => stdout,
        () => '',
      );
    throw new KvciError('failed', 'kubeadm-failed', `${error.message}\nThe last lines of kubelet:\n${indent(kubelet)}`, {
      facts: error.facts,
      cause: error,
    });
  }
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}
