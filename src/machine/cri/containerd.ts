import type { RuntimeImages } from './types.ts';

/**
 * The client's own import, as the image's import unit has it, which takes what lacks blobs that are there; containerd 2 has another
 * one, too. It names an image before it unpacks it, and the CRI names it once more by its id: one whose layers then did not fit is taken
 * away again. What a failed import has written belongs to a lease that went with it: a lease that is removed in step takes what nobody needs away before it is done.
 * The rest of the tar is read to its end: where nobody reads, that would be all that is told of the failure.
 */
const TAKE = `local=
if ctr images import --help | grep -q -e --local; then local=--local; fi
ctr --namespace k8s.io images import $local - && exit
status=$?
cat >/dev/null
while [ $# -gt 0 ]; do
  for name in $(ctr --namespace k8s.io images ls --quiet "target.digest==\\"$1\\""); do
    case $name in "$2" | sha256:*) ctr --namespace k8s.io images rm --sync "$name" >/dev/null ;; esac
  done
  shift 2
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
    const words = images.flatMap(({ name, digest }) => [digest, name]);
    await node.run(['sh', '-c', TAKE, 'sh', ...words], { stdin: tar, signal });
  },
};
