import type { CommandRunner } from '../../host/types.ts';

/** What of a sandbox that clusters share is one cluster's, in memory of the sandbox. */
export function joinedPlace(cluster: string): string {
  return `/run/vms/${cluster}`;
}

/** Ends the machines of a place and what serves them, and takes it away. */
const END = `for file in "$1"/run/vm/*/qemu.pid "$1"/run/net/dnsmasq.pid "$1"/run/net/gateway.pid "$1"/holder.pid; do
  if [ -e "$file" ]; then xargs -r kill -KILL <"$file" 2>/dev/null || true; fi
done
rm -rf -- "$1"`;

/** Ends a cluster's machines in a sandbox that goes on for others; what is gone is gone. */
export async function endJoinedPlace(sandbox: CommandRunner, cluster: string): Promise<void> {
  await sandbox.run(['sh', '-c', END, 'sh', joinedPlace(cluster)]);
}
