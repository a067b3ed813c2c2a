/*
 * Every deadline of a bring-up with its reason. All are for hangs: what is waited for is a condition that is watched.
 */

/** How long a join token lives: longer than the slowest bring-up under emulation, shorter than a working day. */
export const JOIN_TOKEN_LIFE = '2h0m0s';

/** How long a part of the control plane may take to answer its health check, in seconds. */
export const HEALTH_CHECK_S = 600;

/**
 * kubeadm's own. Its minute for an API call is too short where the API server makes its first objects on a busy machine, its four
 * minutes for the control plane where nodes are emulated. https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/#Timeouts
 */
export const KUBEADM_TIMEOUTS = {
  controlPlaneComponentHealthCheck: `${HEALTH_CHECK_S}s`,
  discovery: '15m0s',
  kubeletHealthCheck: '8m0s',
  kubernetesAPICall: '5m0s',
  tlsBootstrap: '10m0s',
} as const;

/** Of a whole `kvci up`, once the image is there, unless `--timeout` says otherwise: emulated nodes take five to ten minutes. */
export const UP_DEADLINE_MS = 30 * 60_000;

/** systemd and the container runtime of a node: seconds in a container, a minute under emulation. */
export const BOOT_DEADLINE_MS = 5 * 60_000;

/** The controller manager signs the cluster's information some seconds after the API serves, and minutes after it under emulation. */
export const SIGNED_DEADLINE_MS = 10 * 60_000;

/** `kubeadm init` and `join` with all their own deadlines. */
export const KUBEADM_DEADLINE_MS = 15 * 60_000;

/** A node that shuts down has half a minute; the API of a cluster that lost a control plane is back within one. */
export const REMOVE_NODE_DEADLINE_MS = 5 * 60_000;

/** Pods that are asked to end have half a minute by default; one that takes longer may wait for its budget. */
export const DRAIN_DEADLINE_MS = 2 * 60_000;

/** A command on a node that does little: a file, a service. */
export const COMMAND_DEADLINE_MS = 2 * 60_000;

/** Taking the probe away: two requests, also where the API is in trouble. */
export const REMOVE_PROBE_MS = 5_000;
