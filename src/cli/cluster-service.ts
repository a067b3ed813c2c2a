import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';

import { addNodes } from '../cluster/add-nodes.ts';
import { bringDown } from '../cluster/down.ts';
import { clusterStatus, kubeconfigOf, listedCluster, machinesOf } from '../cluster/clusters.ts';
import { copy } from '../cluster/copy.ts';
import { exposedPorts } from '../cluster/exposed.ts';
import { chooseCluster, requireNode } from '../cluster/find-cluster.ts';
import { findRuns } from '../cluster/find-runs.ts';
import { contextName, mergeKubeconfig, withoutCluster } from '../cluster/kubeconfig.ts';
import { leadAgain } from '../cluster/lead-again.ts';
import { forwardTo } from '../cluster/local-forward.ts';
import { loadIntoNodes } from '../cluster/load.ts';
import { bundleFiles, nodeLog } from '../cluster/logs.ts';
import { nodeArchitecture } from '../cluster/node-architecture.ts';
import type { ClusterPorts, NodeImage } from '../cluster/ports.ts';
import { removeNode } from '../cluster/remove-node.ts';
import { stopCluster } from '../cluster/stop.ts';
import { planUp, startCluster, up, type UpRequest } from '../cluster/up.ts';
import { writeBundle } from '../cluster/write-bundle.ts';
import { cancelled, hasErrno, KvciError, throwIfCancelled } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { parseRuns } from '../core/recorded-run.ts';
import { writeFileAtomic } from '../host/files.ts';
import type { Tar } from '../host/tar.ts';
import { acquireImages, type AcquirePorts } from '../image/acquire.ts';
import { KVCI_LABELS } from '../image/labels.ts';
import type { AttachedStreams } from '../machine/types.ts';
import { attachConsole } from './attach-console.ts';
import type { ClusterService, ImageService, UpSettings, WantedCluster } from './services.ts';

export interface ClusterServiceParts {
  readonly ports: ClusterPorts;
  readonly image: () => Promise<ImageService>;
  /** Where images of others are looked for. */
  readonly acquire: () => Promise<AcquirePorts & { readonly hostArchitecture: string }>;
  /** The terminal or pipes of this process. */
  readonly streams: () => AttachedStreams & AsyncDisposable;
  /** Standard input and output as they are. */
  readonly pipes: () => { readonly stdin: Readable; readonly stdout: Writable };
  readonly tar: Tar;
  /** The user's own kubeconfig, by KUBECONFIG or its usual place. */
  readonly userKubeconfig: string;
}

/** What runs on a node when no command is given. */
const SHELL = ['/bin/bash', '--login'] as const;

/** The cluster commands over the rooms that do the work. */
export function createClusterService({ ports, image, acquire, streams, pipes, tar, userKubeconfig }: ClusterServiceParts): ClusterService {
  const { states } = ports;
  const chosen = (name: string | undefined) => chooseCluster(name, states);
  const kubeconfig: ClusterService['kubeconfig'] = async (name, run) => {
    const state = await chosen(name);
    const text = await kubeconfigOf(state.name, ports);
    await leadAgain(state, ports, run);
    return text;
  };
  return {
    plan: async (wanted, settings, run) =>
      planUp(upRequest(wanted, settings, image), ports, async () =>
        wanted.image.kind === 'built' ? (await image()).plan(wanted.image.options, settings, run) : [],
      ),
    up: (wanted, settings, run) => up(upRequest(wanted, settings, image), ports, run),
    down: async (name, run) => {
      const removed = await bringDown((await chosen(name)).name, ports, run);
      await forget(removed.name, userKubeconfig);
      return removed;
    },
    stop: async (name, run) => stopCluster((await chosen(name)).name, ports, run),
    start: async (name, settings, run) => startCluster((await chosen(name)).name, settings, ports, run),
    addNodes: async (cluster, wanted, run) => addNodes((await chosen(cluster)).name, wanted, ports, run),
    removeNode: async (cluster, node, settings, run) => removeNode((await chosen(cluster)).name, node, settings, ports, run),
    names: () => states.names(),
    status: async (name, run) => clusterStatus(await chosen(name), ports, run),
    list: async (run) => {
      const found = await Promise.all((await states.names()).map((name) => listedCluster(name, ports, run)));
      return found.filter((cluster) => cluster !== undefined);
    },
    kubeconfig,
    mergeKubeconfig: async (name, run) => {
      const own = await kubeconfig(name, run);
      const before = await readFile(userKubeconfig, 'utf8').catch((error: unknown) => {
        if (hasErrno(error, 'ENOENT')) return '';
        throw error;
      });
      await mkdir(dirname(userKubeconfig), { recursive: true });
      await writeFileAtomic(userKubeconfig, mergeKubeconfig(before, own, userKubeconfig), 0o600);
      return userKubeconfig;
    },
    enter: async (cluster, name, argv, forwards, run) => {
      const state = await chosen(cluster);
      const { name: known } = requireNode(state, name);
      await using machines = await machinesOf(state, ports, run);
      const node = await machines.node(known, run.signal);
      await using leading = new AsyncDisposableStack();
      for (const forward of forwards) leading.use(await forwardTo(node, forward, run.events));
      if (argv === undefined) return await untilCancelled(run);
      await using attached = streams();
      const [file, ...args] = argv;
      return await node.attach(file === undefined ? SHELL : [file, ...args], { ...attached, signal: run.signal });
    },
    console: async (cluster, name, run) => {
      const state = await chosen(cluster);
      const { name: known } = requireNode(state, name);
      await using machines = await machinesOf(state, ports, run);
      const terminal = await machines.terminal(known);
      await using attached = streams();
      const { stdin, stdout, terminal: interactive } = attached;
      // A terminal whose output goes elsewhere is not raw: what is typed at it is not for the node.
      const typed = interactive !== undefined || !(stdin instanceof ReadStream);
      const keys = typed && stdin !== undefined ? { stdin } : {};
      const end = await attachConsole(terminal, { ...keys, stdout }, run.signal);
      // Ctrl-C, and no key that leaves.
      throwIfCancelled(run.signal);
      return end;
    },
    screen: async (cluster, name, run) => {
      const state = await chosen(cluster);
      const { name: known } = requireNode(state, name);
      await using machines = await machinesOf(state, ports, run);
      const { vnc } = await machines.terminal(known);
      if (vnc !== undefined) return vnc;
      throw new KvciError('notFoundOrExists', 'no-screen', `${known} has no screen`, {
        hint: 'Nodes get one when their cluster is made: kvci up --provider vm --vnc',
      });
    },
    ports: async (name) => exposedPorts(await chosen(name)),
    logs: async (cluster, node, run) => {
      const state = await chosen(cluster);
      const one = node === undefined ? undefined : [requireNode(state, node)];
      await using machines = await machinesOf(state, ports, run);
      // A node that was never made, or is gone, has nothing to tell.
      const names = (one ?? (await machines.list())).map(({ name }) => name);
      return await Promise.all(names.map((name) => nodeLog(name, machines, run.signal)));
    },
    bundle: async (cluster, file, run) => {
      const state = await chosen(cluster);
      const { signal } = run;
      await using machines = await machinesOf(state, ports, run);
      const path = states.files(state.name).events;
      const [events, kubeconfig] = await Promise.all([
        readFile(path, 'utf8').catch(() => ''),
        kubeconfigOf(state.name, ports).catch(() => undefined),
      ]);
      const api = kubeconfig === undefined ? undefined : await ports.api(kubeconfig);
      const files = bundleFiles({ state, machines, api, events, runs: parseRuns(events), tar, signal });
      return await writeBundle(file, `kvci-${state.name}`, files, tar, run.clock.now());
    },
    runs: (name) => findRuns(name, states, ports.records),
    copy: async (cluster, request, cwd, run) => {
      const state = await chosen(cluster);
      const { name } = requireNode(state, (request.way === 'up' ? request.to : request.from).node);
      await using machines = await machinesOf(state, ports, run);
      const node = await machines.node(name, run.signal);
      const { stdin, stdout } = pipes();
      await copy(request, node, { tar, events: run.events, signal: run.signal, cwd, stdin, stdout });
    },
    load: async (cluster, { words, nodes: names, engine, cwd }, run) => {
      const state = await chosen(cluster);
      const wanted = names.length === 0 ? state.nodes : names.map((name) => requireNode(state, name));
      // What is wrong with an image shows without the nodes.
      const from = await acquire();
      const architecture = await nodeArchitecture(state, await from.layout(), from.hostArchitecture);
      const request = { engine, cwd, architecture };
      const found = (await Promise.all(words.map((word) => acquireImages(word, request, from, run)))).flat();
      const images = [...new Map(found.map((each) => [each.name, each])).values()];
      await using machines = await machinesOf(state, ports, run);
      const nodes = await Promise.all(wanted.map(({ name }) => machines.node(name, run.signal)));
      const loaded = await loadIntoNodes(images, nodes, tar, run);
      return {
        images: images.map(({ name, from: place, descriptor }) => ({ name, digest: descriptor.digest, from: place })),
        nodes: loaded,
      };
    },
    exec: async (cluster, argv, run) => {
      const state = await chosen(cluster);
      await using machines = await machinesOf(state, ports, run);
      // A node that does not run is told before anything runs on the others.
      const nodes = await Promise.all(state.nodes.map(({ name }) => machines.node(name, run.signal)));
      return await Promise.all(
        nodes.map(async (node) => {
          const { exitCode, stdout, stderr } = await node.run(argv, { accept: ANY_EXIT_CODE, signal: run.signal });
          return { node: node.name, exitCode, stdout, stderr };
        }),
      );
    },
  };
}

/** Takes what `kubeconfig --merge` put into a user's own kubeconfig out again; a file that is none is not ours to mend. */
async function forget(cluster: string, userKubeconfig: string): Promise<void> {
  const text = await readFile(userKubeconfig, 'utf8').catch(() => undefined);
  if (text?.includes(contextName(cluster)) !== true) return;
  const without = withoutCluster(text, cluster, userKubeconfig);
  if (without !== undefined) await writeFileAtomic(userKubeconfig, without, 0o600);
}

/** @throws KvciError `cancelled` */
async function untilCancelled({ signal }: RunContext): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw cancelled(signal);
}

/** The command's exit code is the answer, whatever it is. */
const ANY_EXIT_CODE = Array.from({ length: 256 }, (_, code) => code);

/** What `up` is to do for a cluster that is asked for. */
export function upRequest(wanted: WantedCluster, settings: UpSettings, image: () => Promise<ImageService>): UpRequest {
  const { options, asked } = wanted;
  return {
    options,
    asked,
    wanted: wanted.wanted,
    keepOnFailure: settings.keepOnFailure,
    timeoutMs: settings.timeoutMs,
    engine: settings.engine,
    image: async (run) => nodeImage(await image(), wanted, settings, run),
  };
}

async function nodeImage(service: ImageService, wanted: WantedCluster, settings: UpSettings, run: RunContext): Promise<NodeImage> {
  if (wanted.image.kind === 'built') {
    const { digest, tags, kubernetes } = await service.build(wanted.image.options, settings, run);
    return { digest, name: tags[0] ?? digest, kubernetes };
  }
  const { ref } = wanted.image;
  const { digest, labels } = await service.inspect(ref, run);
  const kubernetes = labels[KVCI_LABELS.kubernetes];
  if (kubernetes !== undefined) return { digest, name: ref, kubernetes };
  throw new KvciError('usage', 'not-a-node-image', `${ref} is not a node image of kvci's: it has no label ${KVCI_LABELS.kubernetes}`, {
    hint: 'Build one with "kvci image build", or see "kvci image list".',
  });
}
