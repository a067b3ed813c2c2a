import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { kindConfig } from '../../src/cluster/kind-config.ts';
import { upstreamKind } from '../../test/fixtures/upstream-kind.ts';

/*
 * Upstream's kind over the very engine that kvci runs its nodes in, with the same node image and the configuration that
 * `kvci kind config` prints for it.
 */

const NAME = 'kvci-bench-kind';
const NODES = [`${NAME}-control-plane`, `${NAME}-worker`];

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
  const { kind, podman, inNetwork } = await upstreamKind(folder);
  const config = join(folder, 'kind.yaml');
  const kubeconfig = join(folder, 'kind.kubeconfig');
  await writeFile(config, kindConfig({ image: node, kubernetes, nodes: NODES.length, controlPlanes: 1, ipFamily: 'dual' }));
  const remove = (): number => timed(() => kind('delete', 'cluster', '--name', NAME, '--kubeconfig', kubeconfig));
  try {
    const started = Date.now();
    kind('create', 'cluster', '--name', NAME, '--config', config, '--kubeconfig', kubeconfig);
    const createdMs = Date.now() - started;
    const wait = fileURLToPath(new URL('wait-ready.ts', import.meta.url));
    const said = inNetwork(process.execPath, wait, kubeconfig, pause, ...NODES);
    const { nodesReady, ready } = JSON.parse(said) as { readonly nodesReady: number; readonly ready: number };
    return { createdMs, nodesReadyMs: nodesReady - started, readyMs: ready - started, deleteMs: remove() };
  } catch (error) {
    remove();
    throw error;
  } finally {
    podman(['network', 'rm', '--force', 'kind']);
  }
}

function timed(work: () => unknown): number {
  const started = performance.now();
  work();
  return Math.round(performance.now() - started);
}
