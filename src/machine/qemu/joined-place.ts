import type { CommandRunner } from '../../host/types.ts';
import { NETWORK } from '../../sandbox/node-sandbox.ts';
import { tapName } from '../net/lan.ts';
import type { NodeAddresses } from '../types.ts';

/** What of a sandbox that clusters share is one cluster's, in memory of the sandbox. */
export function joinedPlace(cluster: string): string {
  return `/run/vms/${cluster}`;
}

/** Ends the machines of a place and what serves them, and takes it away, with their devices in the network of others. */
const END = `set -e
place=$1
shift
for file in "$place"/run/vm/*/qemu.pid "$place"/run/net/dnsmasq.pid "$place"/run/net/gateway.pid "$place"/holder.pid; do
  if [ -e "$file" ]; then xargs -r kill -KILL <"$file" 2>/dev/null || true; fi
done
[ $# -eq 0 ] || nsenter --net=${NETWORK} sh -ec '
  for tap; do
    if ip link show dev "$tap" >/dev/null 2>&1; then ip link delete dev "$tap"; fi
  done
' sh "$@"
rm -rf -- "$place"`;

/** Ends a cluster's machines in a sandbox that goes on for others; what is gone is gone. */
export async function endJoinedPlace(sandbox: CommandRunner, cluster: string, machines: readonly NodeAddresses[]): Promise<void> {
  await sandbox.run(['sh', '-c', END, 'sh', joinedPlace(cluster), ...machines.map(tapName)]);
}
