import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { shellLine } from '../../src/core/shell.ts';
import { chooseDirectories } from '../../src/host/directories.ts';
import { readRecord, recordPath } from '../../src/sandbox/node-engine-record.ts';
import { nsenterArgv } from '../../src/sandbox/enter.ts';
import { NETWORK } from '../../src/sandbox/node-sandbox.ts';

/*
 * Upstream's kind over the very engine that kvci runs its nodes in, with the same node image. What kind asks of an image and
 * kvci's does not have yet is put on top of it here: its version, and a pod network as a manifest.
 */

const VERSION = 'v0.33.0';
const NAME = 'kvci-bench-kind';
const IMAGE = 'localhost/kvci-bench/kind:latest';
const NODES = [`${NAME}-control-plane`, `${NAME}-worker`];

const { env } = process;
const directories = chooseDirectories({
  home: homedir(),
  xdgCacheHome: env['XDG_CACHE_HOME'],
  xdgStateHome: env['XDG_STATE_HOME'],
  xdgRuntimeDir: env['XDG_RUNTIME_DIR'],
  cache: env['KVCI_CACHE_DIR'],
  state: env['KVCI_STATE_DIR'],
  runtime: env['KVCI_RUNTIME_DIR'],
});

/** Milliseconds from the start of `kind create`. */
export interface KindTimes {
  readonly createdMs: number;
  readonly nodesReadyMs: number;
  readonly readyMs: number;
  readonly deleteMs: number;
}

/**
 * Makes a cluster of two nodes, waits until it is Ready as kvci's are, and removes it. kvci's engine has to run, with the node
 * image in it.
 *
 * @param node the image in the engine @param kubernetes without `v` @param folder for files
 */
export async function timeKind(node: string, kubernetes: string, pause: string, folder: string): Promise<KindTimes> {
  const kind = install();
  const record = await readRecord(recordPath(directories));
  if (record?.sandbox === undefined || record.sandbox.kind === 'container') throw new Error("kvci's engine for nodes does not run");
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  const inside = ['env', '-i', 'HOME=/root', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
  const podman = nsenterArgv(record.sandbox, ['nsenter', `--net=${NETWORK}`, '--', ...inside, 'podman'], undefined);
  await writeFile(join(bin, 'podman'), `#!/bin/sh\nexec ${shellLine(podman)} "$@"\n`);
  await chmod(join(bin, 'podman'), 0o755);
  // kind binds it, and kvci's sandbox has none where the host has none.
  const [nsenter, ...entering] = nsenterArgv(record.sandbox, ['mkdir', '-p', '/usr/lib/modules'], undefined);
  must(nsenter, entering, folder);
  must(join(bin, 'podman'), ['build', '--tag', IMAGE, '-'], folder, containerfile(node, kubernetes, pause));

  const config = join(folder, 'kind.yaml');
  const kubeconfig = join(folder, 'kind.kubeconfig');
  await writeFile(config, JSON.stringify(clusterConfig()));
  const path = { PATH: `${bin}:${env['PATH'] ?? ''}`, KIND_EXPERIMENTAL_PROVIDER: 'podman' };
  const remove = (): number => timed(() => must(kind, ['delete', 'cluster', '--name', NAME, '--kubeconfig', kubeconfig], folder, '', path));
  try {
    const started = Date.now();
    const create = ['create', 'cluster', '--name', NAME, '--image', IMAGE, '--config', config, '--kubeconfig', kubeconfig];
    must(kind, create, folder, '', path);
    const createdMs = Date.now() - started;
    // In the network that the engine publishes ports in.
    const wait = fileURLToPath(new URL('wait-ready.ts', import.meta.url));
    const net = `--net=/proc/${record.sandbox.pid}/root${NETWORK}`;
    const said = must('nsenter', [net, '--', process.execPath, wait, kubeconfig, pause, ...NODES], folder);
    const { nodesReady, ready } = JSON.parse(said) as { readonly nodesReady: number; readonly ready: number };
    return { createdMs, nodesReadyMs: nodesReady - started, readyMs: ready - started, deleteMs: remove() };
  } catch (error) {
    remove();
    throw error;
  } finally {
    must(join(bin, 'podman'), ['rmi', '--force', IMAGE], folder);
    must(join(bin, 'podman'), ['network', 'rm', '--force', 'kind'], folder);
  }
}

/** kind, built once into a cache of the bench's own. */
function install(): string {
  const folder = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'kvci-bench', `kind-${VERSION}`);
  const kind = join(folder, 'kind');
  if (!existsSync(kind)) must('go', ['install', `sigs.k8s.io/kind@${VERSION}`], homedir(), '', { GOBIN: folder, GOFLAGS: '-mod=mod' });
  return kind;
}

function clusterConfig(): object {
  const never = (what: string): string => `kind: ${what}\nnodeRegistration:\n  imagePullPolicy: Never\n`;
  return {
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    networking: { ipFamily: 'dual', kubeProxyMode: 'nftables', apiServerAddress: '127.0.0.1' },
    nodes: [{ role: 'control-plane' }, { role: 'worker' }],
    // As kvci says it to its nodes: settings of the kernel that a container may not make.
    kubeadmConfigPatches: [
      never('InitConfiguration'),
      never('JoinConfiguration'),
      'kind: KubeProxyConfiguration\nconntrack:\n  maxPerCore: 0\n  min: 0\n  tcpEstablishedTimeout: 0s\n  tcpCloseWaitTimeout: 0s\n',
    ],
  };
}

function containerfile(node: string, kubernetes: string, pause: string): string {
  const file = (path: string, text: string): string =>
    `RUN mkdir -p $(dirname ${path}) && echo ${Buffer.from(text).toString('base64')} | base64 -d >${path}`;
  return [`FROM ${node}`, file('/kind/version', `v${kubernetes}\n`), file('/kind/manifests/default-cni.yaml', network(pause)), ''].join(
    '\n',
  );
}

/** The pod network as a DaemonSet whose programs are the node's own. */
function network(image: string): string {
  const name = 'bench-network';
  const labels = { app: name };
  const read = ['/usr', '/lib', '/lib64'];
  const paths = [...read, '/etc/cni/net.d'];
  const nameOf = (path: string): string => path.slice(1).replaceAll(/[/.]/g, '-');
  const spec = {
    serviceAccountName: name,
    hostNetwork: true,
    tolerations: [{ operator: 'Exists' }],
    containers: [
      {
        name: 'network',
        image,
        imagePullPolicy: 'Never',
        command: ['/usr/bin/bash', '-c', readFileSync(new URL('network.sh', import.meta.url), 'utf8')],
        env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
        // The pause image is of an ordinary user's.
        securityContext: { privileged: true, runAsUser: 0 },
        volumeMounts: paths.map((path) => ({ name: nameOf(path), mountPath: path, readOnly: read.includes(path) })),
      },
    ],
    volumes: paths.map((path) => ({ name: nameOf(path), hostPath: { path } })),
  };
  const set = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } };
  const rbac = { apiGroup: 'rbac.authorization.k8s.io' };
  const metadata = { name, namespace: 'kube-system' };
  const rules = [{ apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list'] }];
  const subjects = [{ kind: 'ServiceAccount', ...metadata }];
  const items = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: `${rbac.apiGroup}/v1`, kind: 'ClusterRole', metadata: { name }, rules },
    {
      apiVersion: `${rbac.apiGroup}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { ...rbac, kind: 'ClusterRole', name },
      subjects,
    },
    { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec: set },
  ];
  // JSON is YAML.
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

function must(file: string, args: readonly string[], cwd: string, input = '', added: Readonly<Record<string, string>> = {}): string {
  const options = { cwd, input, env: { ...env, ...added }, stdio: ['pipe', 'pipe', 'pipe'] as const, encoding: 'utf8' as const };
  const { status, stdout, stderr } = spawnSync(file, [...args], { ...options, stdio: [...options.stdio] });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${String(status)}:\n${stderr}`);
  return stdout;
}

function timed(work: () => unknown): number {
  const started = performance.now();
  work();
  return Math.round(performance.now() - started);
}
