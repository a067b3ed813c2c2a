import { KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import type { ClusterView, KubernetesApi } from '../host/kubernetes.ts';
import { isLoopback } from '../host/engine/endpoint.ts';
import type { HostPort, Machines } from '../machine/types.ts';
import { hostPort } from './addresses.ts';
import { atApiPort, chooseApiPort } from './api-port.ts';
import { Begun } from './begun.ts';
import { tellBusyHost } from './busy-host.ts';
import type { ClusterRun } from './cluster-run.ts';
import { beginControlPlane, type Booting, leaderOf } from './control-plane.ts';
import { REMOVE_PROBE_MS } from './deadlines.ts';
import { exposeApi, portOf, publishedBy } from './endpoint.ts';
import { hostKubeconfig } from './kubeconfig.ts';
import { keptLed } from './lead-again.ts';
import { applyManifest } from './manifest.ts';
import { parseCni } from './options.ts';
import type { ClusterPorts } from './ports.ts';
import { registrySettings, setRegistries } from './registries.ts';
import type { NodeState } from './state.ts';
import { type BootedNode, bootNode } from './steps/boot.ts';
import { tellBootPhases } from './steps/boot-phases.ts';
import { ADMIN_CONF, refuseLostControlPlane } from './steps/init.ts';
import { labelNode } from './steps/label-nodes.ts';
import { nodeStep } from './steps/node-step.ts';
import { setPodNetwork } from './steps/pod-network.ts';
import { isProbe, removeProbe, startProbe } from './steps/probe.ts';
import { readinessWatch } from './steps/readiness.ts';
import { missing, nodesNotReady, notReady, notReadyInTime } from './steps/ready.ts';
import { beginRegistry } from './steps/registry.ts';
import { setStorage } from './steps/storage.ts';
import { Turns } from './turns.ts';

/**
 * Brings all nodes of a cluster's state up to Ready. Each step finds what an earlier run did: calling it again after a kill goes on
 * where that stopped, and on a cluster that was stopped it starts its nodes.
 */
export async function bringUp(run: ClusterRun, machines: Machines, ports: ClusterPorts): Promise<void> {
  const begun = new Begun();
  try {
    const within = run.within(AbortSignal.any([run.context.signal, begun.signal]));
    await keptLed(run.state, ports, run.context, () => bringUpBy(within, machines, ports, begun));
  } catch (error) {
    throw await begun.ended(error);
  }
}

async function bringUpBy(run: ClusterRun, machines: Machines, ports: ClusterPorts, begun: Begun): Promise<void> {
  const { signal, clock, events } = run.context;
  const started = clock.monotonic();
  const startedAt = clock.now();
  const network = await run.step('network', 'network', undefined, () => machines.network(run.state.families, signal));
  await run.update({ network, apiPort: portOf(run.state) ?? (await chooseApiPort(run.state.name, ports.states)) });

  const registry = await beginRegistry(run, machines, ports);
  const schedule = await machines.schedule(signal);
  if (schedule !== 'together') await tellBusyHost(ports, run.context);
  const turns = new Turns(schedule, run.state.nodes, signal);
  const boot = async (node: NodeState): Promise<BootedNode> => {
    await turns.of(node);
    const booted = await nodeStep(run, machines, 'boot', 'boot', node.name, async () => {
      const up = await atApiPort(
        run,
        ports.states,
        () => bootNode(node, run.state.options, network, publishedBy(node, run.state, network), machines, run.context),
        () => machines.remove(node.name),
      );
      await run.updateNode(node.name, { addresses: up.handle.addresses });
      await setRegistries(up.handle, registrySettings(run.state.options, run.state.trusted ?? {}), registry, signal);
      if (hasBridge(run)) await setPodNetwork(up.handle, node.index, run.state.nodes, network, run.state.families, signal);
      noteLimits(up, events);
      return up;
    });
    turns.booted(node);
    return booted;
  };
  const booting: readonly Booting[] = run.state.nodes.map((node) => ({ node, booted: begun.add(boot(node)) }));
  // While nodes boot.
  void begun.add(ports.loadApi());
  const leader = await leaderOf(booting, signal);
  const first = await leader.booted;
  await refuseLostControlPlane(run.state, first.handle, signal);
  // An engine publishes ports of nodes that run.
  const exposed = await run.step('api', 'API address', undefined, () =>
    // A load balancer whose port is taken is not kept.
    atApiPort(
      run,
      ports.states,
      () => exposeApi(run.state, network, machines, signal),
      () => Promise.resolve(),
    ),
  );
  await run.update(exposed);
  tellOpenApi(exposed.api, events);
  const others = booting.filter((other) => other !== leader);
  const controlPlane = await beginControlPlane(run, machines, first, others, network, turns, ports.secrets, begun);
  await controlPlane.serves;
  const kubeconfig = await writeKubeconfig(run, first, exposed.api, ports);
  const kubernetes = await ports.api(kubeconfig);
  if (schedule !== 'together') {
    const serving = kubernetes
      .until(() => true, signal)
      .then(() => {
        turns.serves();
      });
    void begun.add(serving);
  }

  const joined = begun.add(controlPlane.join(kubernetes));
  const configured = begun.add(configure(run, kubernetes, ports));
  // Its check fails, time and again, until every node is a member: where nodes take turns, that is what they would wait for.
  const probing = begun.add((schedule === 'together' ? Promise.resolve() : joined).then(() => startProbeOf(run, kubernetes, first)));
  await Promise.all([joined, configured, probing]);
  await untilReady(run, kubernetes, started);
  await Promise.all(booting.map(async ({ booted }) => tellBootPhases((await booted).handle, startedAt, signal, events)));
}

/** What was asked for and cannot be had is said, not left out in silence. */
function noteLimits({ node, facts }: BootedNode, events: EventSink): void {
  const lacking = [
    ...(node.memory !== undefined && facts.missingControllers.includes('memory') ? ['memory'] : []),
    ...(node.cpus !== undefined && facts.missingControllers.includes('cpu') ? ['cpus'] : []),
  ];
  if (lacking.length === 0) return;
  events({
    type: 'problem',
    level: 'warning',
    message: `${node.name} runs without the bounds that were asked for (${lacking.join(', ')}): the host of its engine gives containers no such control groups`,
  });
}

/** Beyond loopback others reach it, too. */
function tellOpenApi({ host, port }: HostPort, events: EventSink): void {
  if (isLoopback(host)) return;
  events({
    type: 'problem',
    level: 'warning',
    message: `the API of the cluster is open to everybody who reaches ${hostPort(host, port)}: only the keys of its kubeconfig guard it`,
    hint: 'An engine that is named by ssh:// opens nothing beyond loopback.',
  });
}

function hasBridge({ state }: ClusterRun): boolean {
  return parseCni(state.options.cni).kind === 'bridge';
}

async function writeKubeconfig(run: ClusterRun, first: BootedNode, api: HostPort, { states }: ClusterPorts): Promise<string> {
  const { name } = run.state;
  const { stdout } = await first.handle.run(['cat', ADMIN_CONF], { signal: run.context.signal });
  return await states.saveKubeconfig(name, hostKubeconfig(stdout, name, api));
}

/** What is made through the API: storage, the pod network of a manifest. */
async function configure(run: ClusterRun, api: KubernetesApi, ports: ClusterPorts): Promise<void> {
  const { state, context } = run;
  const { signal } = context;
  const cni = parseCni(state.options.cni);
  await run.step('configure', 'storage and network', undefined, async () => {
    await Promise.all([
      setStorage(state.nodes, api, signal),
      cni.kind === 'manifest' ? applyManifest(cni.url, state.options.cniSha256 ?? '', ports, state.name, api, signal) : undefined,
    ]);
  });
}

/** Without a pod network no pod of the probe would start. */
async function startProbeOf(run: ClusterRun, api: KubernetesApi, first: BootedNode): Promise<void> {
  const { state, context } = run;
  if (parseCni(state.options.cni).kind === 'none') return;
  await run.step('probe', 'probe of names and connections', undefined, () =>
    startProbe(first, state.nodes.length, state.families, api, context.signal),
  );
}

/** Labels the nodes and waits for both instants: all nodes Ready, and everything Ready. */
async function untilReady(run: ClusterRun, api: KubernetesApi, started: number): Promise<void> {
  const { state, context } = run;
  const { clock, signal, events } = context;
  const names = state.nodes.map(({ name }) => name);
  const withProbe = parseCni(state.options.cni).kind !== 'none';
  const since = (): number => Math.round(clock.monotonic() - started);
  await run.step('label', 'labels', undefined, async () => {
    const ranges = hasBridge(run) ? state.families : undefined;
    await Promise.all(state.nodes.map((node) => labelNode(node, state.nodes.length === 1, ranges, api, signal)));
  });
  await run.step('ready', 'Ready', undefined, async () => {
    let last: ClusterView | undefined;
    let nodesReadyMs: number | undefined;
    const watch = readinessWatch(clock, events);
    const see = (view: ClusterView): void => {
      last = view;
      watch(view);
      if (nodesReadyMs === undefined && nodesNotReady(view, names).length === 0) nodesReadyMs = since();
      const left = notReady(view, names).length;
      events({ type: 'step.progress', step: 'ready', done: 0, unit: 'items', message: `${left} not Ready yet` });
    };
    let readyMs: number;
    try {
      await api.until((view) => missing(state, view).length === 0 && (!withProbe || probed(view, names.length)), signal, see);
      readyMs = since();
    } catch (error) {
      if (error instanceof KvciError && error.reason === 'timedOut') throw await notReadyInTime(last, names, api);
      throw error;
    } finally {
      // Also when it failed: nobody else would take it away.
      if (withProbe) await removeProbe(api, AbortSignal.timeout(REMOVE_PROBE_MS)).catch(() => undefined);
    }
    await run.update({ ...(nodesReadyMs === undefined ? {} : { nodesReadyMs }), readyMs, phase: 'ready' });
  });
}

function probed({ pods }: ClusterView, nodes: number): boolean {
  return pods.filter((pod) => isProbe(pod) && pod.ready).length === nodes;
}
