import { KvciError } from '../../core/errors.ts';
import { ConverterRefusal } from '../types.ts';
import { OUTPUT, STORAGE } from './types.ts';

/** What a converter will find around it: seen from a container that is given all that the converter is given. */
export interface Surroundings {
  /** The host's id of root in the container. */
  readonly rootId: number;
  /** How many ids of the host there are in the container. */
  readonly ids: number;
  /** What writable /sys stands for: privileges. */
  readonly sysWritable: boolean;
  readonly overlayStorage: boolean;
  readonly loopDevices: boolean;
  readonly selinux: 'off' | 'policy' | 'no-policy';
  readonly storage: Place;
  readonly output: Place;
}

export interface Place {
  /** Type of the file system, as stat(1) names it. */
  readonly type: string;
  /** Free bytes. */
  readonly free: number;
  /** What tells two file systems apart. */
  readonly id: string;
}

/**
 * A type that osbuild's SELinux policy brings: the kernel takes a context (selinuxfs' file `context`) only when it knows its parts.
 */
const OSBUILD_CONTEXT = 'system_u:object_r:osbuild_exec_t:s0';

/** For a POSIX shell with coreutils: a line for each fact. */
export const SURROUNDINGS_SCRIPT = `
read -r _ root _ </proc/self/uid_map
ids=0
while read -r _ _ count; do
  ids=$((ids + count))
done </proc/self/uid_map
echo "uids $root $ids"
while read -r _ place _ options _; do
  [ "$place" != /sys ] || echo "sys $options"
done </proc/self/mounts
[ ! -d ${STORAGE}/overlay ] || echo overlay
[ ! -e /dev/loop-control ] || echo loop
if [ "$(cat /sys/fs/selinux/enforce 2>/dev/null)" = 1 ]; then
  if printf %s ${OSBUILD_CONTEXT} 2>/dev/null >/sys/fs/selinux/context; then echo selinux policy; else echo selinux no-policy; fi
fi
echo "storage $(stat -f -c '%T %a %S %i' ${STORAGE})"
echo "output $(stat -f -c '%T %a %S %i' ${OUTPUT})"
`;

/** @throws ConverterRefusal `converter-probe-failed` for output of something else than the script */
export function parseSurroundings(text: string): Surroundings {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/));
  const fact = (name: string): readonly string[] | undefined => lines.findLast(([first]) => first === name)?.slice(1);
  const [root, ids] = (fact('uids') ?? []).map(Number);
  const sys = fact('sys')?.[0];
  const storage = placeOf(fact('storage'));
  const output = placeOf(fact('output'));
  if (root === undefined || ids === undefined || sys === undefined || storage === undefined || output === undefined) {
    throw new ConverterRefusal(
      new KvciError('failed', 'converter-probe-failed', `a container of the converter does not tell what is around it:\n${text}`, {
        hint: 'Its image must have a shell and coreutils, as the published ones have.',
      }),
    );
  }
  const [selinux] = fact('selinux') ?? [];
  return {
    rootId: root,
    ids,
    sysWritable: sys.split(',').includes('rw'),
    overlayStorage: fact('overlay') !== undefined,
    loopDevices: fact('loop') !== undefined,
    selinux: selinux === 'policy' || selinux === 'no-policy' ? selinux : 'off',
    storage,
    output,
  };
}

function placeOf(words: readonly string[] | undefined): Place | undefined {
  const [type, blocks, blockSize, id] = words ?? [];
  if (type === undefined || id === undefined) return undefined;
  return { type, free: Number(blocks) * Number(blockSize), id };
}
