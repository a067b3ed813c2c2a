import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { KvciError, throwIfCancelled } from '../../core/errors.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { NodeEngine } from '../../sandbox/node-engine.ts';
import { ARTIFACTS_INSIDE, NETWORK, VMS_INSIDE } from '../../sandbox/node-sandbox.ts';
import type { SandboxRecord } from '../../sandbox/types.ts';
import { resourceName } from '../container/labels.ts';
import { openThrough } from '../net/gateway.ts';
import { GATEWAY_SOCKET, startLan } from '../net/lan-services.ts';
import { throughHost } from '../net/outbound.ts';
import type { JoinedLan } from '../net/lan.ts';
import { joinedPlace } from '../qemu/joined-place.ts';
import { bindsOf, MACHINES_INSIDE } from '../qemu/launch-vm-sandbox.ts';
import type { VmPlaces } from '../qemu/vm-places.ts';
import type { VmSandboxRecord, VmSandboxRecords } from '../qemu/vm-record.ts';
import { endRecorded, endSandboxOf, insideOf, leaveSandbox, vmSandbox, type VmSandbox, type VmSandboxParts } from '../qemu/vm-sandbox.ts';
import type { MachineNetwork } from '../types.ts';

/** Where machines keep what goes with the sandbox: each cluster has a folder of it as its own. */
const KVCI_INSIDE = '/run/kvci';

/** For a hang: the bridge is there as soon as the first container of the cluster runs. */
const BRIDGE_MS = 5 * 60_000;
const POLL_MS = 100;

/**
 * Makes what only the machines of one cluster see: names of machines, and with them of their files, are the same in each. A process
 * that sleeps keeps it. Arguments: the cluster's place, the folder of what the machines write, and pairs of a folder and where it is
 * seen.
 */
const MAKE_PLACE = `mkdir -p "$1/run" && rm -f "$1/holder.pid" || exit
setsid unshare --mount sh -ec '
  place=$1
  mkdir -p ${KVCI_INSIDE} ${MACHINES_INSIDE}
  mount --bind "$1/run" ${KVCI_INSIDE}
  mount --bind "$2" ${MACHINES_INSIDE}
  shift 2
  while [ $# -gt 0 ]; do
    mkdir -p "$2"
    mount --bind "$1" "$2"
    shift 2
  done
  echo $$ >"$place/holder.new"
  mv "$place/holder.new" "$place/holder.pid"
  exec sleep infinity
' sh "$@" </dev/null >"$1/holder.log" 2>&1 &
until [ -e "$1/holder.pid" ]; do
  if ! kill -0 $! 2>/dev/null; then cat "$1/holder.log" >&2; exit 1; fi
  sleep 0.02
done
`;

/** Runs a command in the place whose holder a file names, and in the network of containers. */
const ENTER = `pid=$(cat "$1") || exit
shift
exec nsenter "--mount=/proc/$pid/ns/mnt" --net=${NETWORK} -- "$@"`;

export interface EnginePlacesParts extends VmSandboxParts {
  readonly engine: Pick<NodeEngine, 'sandbox' | 'network'>;
  /** The network of the cluster's containers. */
  readonly network: () => Promise<MachineNetwork>;
}

/** Machines beside the containers of their cluster, in the sandbox and in the network of kvci's own engine. */
export function enginePlaces(parts: EnginePlacesParts, records: VmSandboxRecords): VmPlaces {
  const { engine, directories } = parts;
  const { sandbox } = engine;

  const runnerOf = (cluster: string): CommandRunner => ({
    where: sandbox.where,
    run: async (argv, options) => ({
      ...(await sandbox.run(['sh', '-c', ENTER, 'sh', `${joinedPlace(cluster)}/holder.pid`, ...argv], options)),
      argv,
    }),
  });

  const found = (record: VmSandboxRecord): VmSandbox => {
    const runner = runnerOf(record.name);
    const outside = (file: string): string => {
      if (!file.startsWith(`${KVCI_INSIDE}/`)) throw new KvciError('bug', 'not-shared', `${file} is not below ${KVCI_INSIDE}`);
      return sandbox.outside(`${joinedPlace(record.name)}/run${file.slice(KVCI_INSIDE.length)}`);
    };
    return vmSandbox(records, record, {
      runner,
      inside: (file) => insideOf(record, file),
      outside,
      open: (address, port) => openThrough(outside(GATEWAY_SOCKET), address, port),
      end: () => endRecorded(parts, records, record),
      letGo: leaveSandbox,
    });
  };

  const bridge = async (cluster: string): Promise<string> => {
    const argv = ['podman', 'network', 'inspect', '--format', '{{.NetworkInterface}}', resourceName(cluster)] as const;
    return (await engine.network.run(argv)).stdout.trim();
  };

  /** Makes the place of what has just been written down, and writes down that it stands. */
  const furnish = async (record: VmSandboxRecord, signal: AbortSignal): Promise<VmSandbox> => {
    await mkdir(record.folder, { recursive: true, mode: 0o700 });
    const inCache = (kind: string, path: string): string => relative(join(directories.cache, kind), path);
    const binds = record.binds.flatMap(({ host, inside }) => [`${ARTIFACTS_INSIDE}/${inCache('artifacts', host)}`, inside]);
    const machines = `${VMS_INSIDE}/${inCache('machines', record.folder)}`;
    await sandbox.run(['sh', '-c', MAKE_PLACE, 'sh', joinedPlace(record.name), machines, ...binds], { signal });
    await startLan(runnerOf(record.name), record.lan, { ...parts, reachOutside: throughHost(() => Promise.resolve(sandbox)) }, signal);
    return found(await records.finish(record));
  };

  /** Whether it was made in the sandbox that runs now: what was in an earlier one has ended with it. */
  const isOurs = (record: SandboxRecord | undefined): boolean =>
    record !== undefined && isDeepStrictEqual(definedOnly(record), definedOnly(sandbox.record));

  return {
    start: async ({ name, source, lan, files, disk, signal }) => {
      const { ipv4, ipv6 } = await parts.network();
      const joined: JoinedLan = {
        bridge: await bridge(name),
        ...(ipv4 === undefined ? {} : { ipv4 }),
        ...(ipv6 === undefined ? {} : { ipv6 }),
      };
      const record: VmSandboxRecord = {
        version: 1,
        name,
        createdAt: new Date(parts.clock.now()).toISOString(),
        source,
        folder: join(directories.cache, 'machines', `${name}-${randomBytes(4).toString('hex')}`),
        lan: { ...lan, outbound: false, joined },
        key: parts.ssh.newKeyPair('kvci'),
        keep: true,
        binds: bindsOf(files),
        ...(disk === undefined ? {} : { disk }),
        sandbox: sandbox.record,
        unfinished: true,
        machines: {},
      };
      // Before there is anything of it: whoever is killed from here on has told where it is.
      await records.write(record);
      return furnish(record, signal);
    },
    open: (record) => Promise.resolve(isOurs(record.sandbox) && record.unfinished !== true ? found(record) : undefined),
    restart: async (before, files, signal) => {
      // Of one that was never finished.
      await endSandboxOf(parts, before);
      const record: VmSandboxRecord = { ...before, unfinished: true, binds: bindsOf(files), sandbox: sandbox.record };
      await records.write(record);
      return furnish(record, signal);
    },
    ready: async ({ record, runner }, signal) => {
      const device = record.lan.joined?.bridge ?? '';
      const deadline = parts.clock.monotonic() + BRIDGE_MS;
      while ((await runner.run(['ip', 'link', 'show', 'dev', device], { accept: [1], signal })).exitCode !== 0) {
        if (parts.clock.monotonic() > deadline) {
          throw new KvciError('timedOut', 'no-bridge', `no container of the cluster "${record.name}" has made its network ${device}`);
        }
        await parts.clock.wait(POLL_MS, signal).catch(() => undefined);
        throwIfCancelled(signal);
      }
    },
    end: (record) => endRecorded(parts, records, record),
  };
}

/** As a file has it. */
function definedOnly(record: SandboxRecord): unknown {
  return JSON.parse(JSON.stringify(record));
}
