import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { Secret } from '../core/secrets.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';
import type { MachineNetwork, Machines } from '../machine/types.ts';
import { addressList, mainAddress, nodeAddresses } from './addresses.ts';
import type { Begun } from './begun.ts';
import type { ClusterRun } from './cluster-run.ts';
import { JOIN_TOKEN_LIFE } from './deadlines.ts';
import type { InitSecrets, KubeadmCluster } from './kubeadm.ts';
import { parseCni } from './options.ts';
import type { ClusterState, NodeState } from './state.ts';
import { type BootedNode, untilUp } from './steps/boot.ts';
import { forgetNode } from './steps/forget-node.ts';
import { caHash, initControlPlane, makeCertificates, prepareJoin } from './steps/init.ts';
import { joinNode } from './steps/join.ts';
import { isMember } from './steps/member.ts';
import { nodeStep } from './steps/node-step.ts';
import { untilSigned } from './steps/signed.ts';
import { bootstrapToken, certificateKey } from './tokens.ts';
import { leadersOf, type Turns } from './turns.ts';

/** A node on its way up, or waiting for its turn. */
export interface Booting {
  readonly node: NodeState;
  readonly booted: Promise<BootedNode>;
}

/** A control plane on its way up. */
export interface ControlPlane {
  /** Its API answers and has what joining nodes ask for; kubeadm may still have add-ons to make. */
  readonly serves: Promise<void>;
  /** Joins the other nodes. Answers when all are members. */
  join(api: KubernetesApi): Promise<void>;
}

/** The control plane that lets others in: the first of a new cluster, later any that is a member, as the first may be gone. */
export async function leaderOf(booting: readonly Booting[], signal: AbortSignal): Promise<Booting> {
  const leaders = leadersOf(booting.map(({ node }) => node)).map(({ name }) => name);
  const candidates = booting.filter(({ node }) => leaders.includes(node.name));
  for (const each of candidates) if (each.node.joined && (await isMember((await each.booted).handle, signal))) return each;
  const [first] = candidates;
  if (first === undefined) throw new KvciError('bug', 'no-control-plane', 'a cluster without control planes');
  return first;
}

/** Begins to make the control plane on the leading node, unless it stands: then others may join it. */
export async function beginControlPlane(
  run: ClusterRun,
  machines: Machines,
  first: BootedNode,
  others: readonly Booting[],
  network: MachineNetwork,
  turns: Turns,
  masked: Set<Secret>,
  begun: Begun,
): Promise<ControlPlane> {
  const { state, context } = run;
  const { signal } = context;
  const cluster = kubeadmCluster(run, network);
  const controlPlanes = state.nodes.filter(({ role }) => role === 'control-plane').length;
  const secrets: InitSecrets = { token: bootstrapToken(), ...(controlPlanes > 1 ? { certificateKey: certificateKey() } : {}) };
  // kubeadm prints commands with them.
  for (const secret of [secrets.token, secrets.certificateKey]) if (secret !== undefined) masked.add(secret);

  let hash: Digest;
  let initialised: Promise<void>;
  let serves: Promise<void>;
  /** Makes the token with which others join, where init has not. */
  let makeToken = (): Promise<void> => Promise.resolve();
  if (await isMember(first.handle, signal)) {
    await run.updateNode(first.node.name, { joined: true });
    hash = await caHash(first.handle, signal);
    initialised = Promise.resolve();
    serves = initialised;
    makeToken = () =>
      nodeStep(run, machines, 'token', 'new join token', first.node.name, () =>
        prepareJoin(first.handle, secrets, JOIN_TOKEN_LIFE, signal),
      );
  } else {
    hash = await nodeStep(run, machines, 'certificates', 'certificates', first.node.name, (output) =>
      makeCertificates(first, cluster, secrets, signal, output),
    );
    const served = Promise.withResolvers<undefined>();
    initialised = nodeStep(run, machines, 'init', 'kubeadm init', first.node.name, async (output) => {
      await untilUp(first.handle, signal);
      await initControlPlane(first, secrets, signal, output, () => {
        served.resolve(undefined);
      });
      await run.updateNode(first.node.name, { joined: true });
    });
    serves = begun.add(Promise.race([served.promise, initialised]));
  }
  void begun.add(initialised);

  const main = ({ handle }: BootedNode): string => mainAddress(handle.addresses, state.families);
  const join = async (booting: Promise<BootedNode>, when: () => Promise<unknown>): Promise<void> => {
    const booted = await booting;
    if (!(await isMember(booted.handle, signal))) {
      await untilUp(booted.handle, signal);
      await when();
      await nodeStep(run, machines, 'join', 'kubeadm join', booted.node.name, (output) =>
        joinNode(booted, cluster, { ...secrets, caHash: hash }, signal, output, () =>
          forgetNode(first.handle, main(first), { name: booted.node.name, role: booted.node.role, address: main(booted) }, signal),
        ),
      );
    }
    await run.updateNode(booted.node.name, { joined: true });
    turns.joined(booted.node);
  };
  void initialised.then(
    () => {
      turns.joined(first.node);
    },
    () => undefined,
  );
  return {
    serves,
    join: async (api) => {
      let signing: Promise<void> | undefined;
      // Nobody waits for it where no node joins: there is no token then.
      const signed = (): Promise<void> =>
        (signing ??= makeToken().then(() =>
          run.step('signed', 'signed information to join by', undefined, () => untilSigned(secrets.token, api, context)),
        ));
      // etcd takes one new member at a time; workers join all at once.
      let previous: Promise<unknown> = initialised;
      const joins = others.map(({ node, booted }) => {
        if (node.role === 'worker') return begun.add(join(booted, signed));
        const before = previous;
        const joining = begun.add(join(booted, () => before.then(signed)));
        previous = joining;
        return joining;
      });
      await Promise.all([initialised, ...joins]);
    },
  };
}

/** By ssh a port of this host's loopback leads to the engine's host. */
function engineNames(engine: ClusterState['engine']): readonly string[] {
  return engine?.transport === 'tcp' ? [engine.host] : [];
}

/** What `kubeadm` is told of a cluster. */
export function kubeadmCluster({ state }: Pick<ClusterRun, 'state'>, network: MachineNetwork): KubeadmCluster {
  const { families, endpoint = '' } = state;
  const controlPlanes = state.nodes.filter(({ role }) => role === 'control-plane');
  const addresses = controlPlanes.flatMap(({ index }) => addressList(nodeAddresses(network, index), families));
  return {
    name: state.name,
    kubernetes: state.kubernetes,
    families,
    endpoint,
    // This host calls the API on its loopback, or at the host of the engine that its nodes are in.
    names: [...new Set(['localhost', '127.0.0.1', '::1', ...engineNames(state.engine), ...addresses])],
    allocateRanges: parseCni(state.options.cni).kind !== 'bridge',
  };
}
