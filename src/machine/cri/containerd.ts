import type { RuntimeImages } from './types.ts';

/**
 * The client's own import, as the image's import unit has it, which takes what lacks blobs that are there; containerd 2 has another
 * one, too. It names an image before it unpacks it, and the CRI names it once more by its id: where its layers then did not fit, all
 * that is named anew goes again, for which one import goes on at a time. What a failed import has written belongs to a lease that went
 * with it: a lease that is removed in step takes what nobody needs away before it is done.
 * The rest of the tar is read to its end: where nobody reads, that would be all that is told of the failure.
 */
const TAKE = `exec 9>/run/kvci-load.lock && flock 9
named() { ctr --namespace k8s.io images ls | while read -r name _ digest _; do echo "$name $digest"; done; }
before=$(named) local=
if ctr images import --help | grep -q -e --local; then local=--local; fi
ctr --namespace k8s.io images import $local - && exit
status=$?
cat >/dev/null
for digest; do
  named | grep -F " $digest" | grep -vxFe "$before" | while read -r name _; do
    ctr --namespace k8s.io images rm --sync "$name" >/dev/null </dev/null
  done
done
ctr --namespace k8s.io leases delete --sync "$(ctr --namespace k8s.io leases create)" >/dev/null
exit $status`;

/** containerd's images, by its own client. */
export const containerdImages: RuntimeImages = {
  layers: async (node, signal) => {
    const { stdout } = await node.run(['ctr', '--namespace', 'k8s.io', 'content', 'ls', '--quiet'], { signal });
    return new Set(stdout.split('\n').filter((line) => line !== ''));
  },
  take: async (node, tar, images, signal) => {
    await node.run(['sh', '-c', TAKE, 'sh', ...images.map(({ digest }) => digest)], { stdin: tar, signal });
  },
};
