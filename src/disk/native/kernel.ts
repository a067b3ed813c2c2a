import { parse } from 'smol-toml';
import { z } from 'zod';

import { KvciError } from '../../core/errors.ts';
import { followPath } from '../../oci/image.ts';
import type { Tree, TreeNode } from '../../oci/tree.ts';
import type { Architecture } from '../../payload/types.ts';

/** Where a bootc image has its kernel: https://bootc-dev.github.io/bootc/bootc-images.html */
const MODULES = 'usr/lib/modules';

export const KARGS_FOLDER = 'usr/lib/bootc/kargs.d';

export interface Kernel {
  readonly release: string;
  readonly vmlinuz: TreeNode;
  readonly initramfs: TreeNode;
}

/** The one kernel of an image. @throws KvciError `no-kernel`, `several-kernels`, `no-initramfs` */
export function findKernel(tree: Tree): Kernel {
  const found = [...tree.nodes.keys()].flatMap((path) => {
    const release = /^usr\/lib\/modules\/([^/]+)\/vmlinuz$/.exec(path)?.[1];
    const vmlinuz = followPath(tree, path);
    return release === undefined || vmlinuz?.type !== 'file' ? [] : [{ release, vmlinuz }];
  });
  const [kernel, another] = found;
  if (kernel === undefined) throw new KvciError('failed', 'no-kernel', `the image has no kernel in /${MODULES}`);
  if (another !== undefined) {
    const releases = found.map(({ release }) => release);
    throw new KvciError('failed', 'several-kernels', `the image has ${found.length} kernels: ${releases.join(', ')}`, {
      hint: 'Only one can be booted: leave the others out of the image.',
      facts: { releases },
    });
  }
  const initramfs = followPath(tree, `${MODULES}/${kernel.release}/initramfs.img`);
  if (initramfs?.type === 'file') return { ...kernel, initramfs };
  throw new KvciError('failed', 'no-initramfs', `the kernel ${kernel.release} of the image has no initramfs.img beside it`);
}

const kargsSchema = z.object({ kargs: z.array(z.string()).default([]), 'match-architectures': z.array(z.string()).optional() });

/** Names of architectures as bootc has them. */
const MACHINES: Readonly<Record<Architecture, string>> = { amd64: 'x86_64', arm64: 'aarch64' };

/**
 * The kernel arguments that an image asks for.
 *
 * Source: https://bootc-dev.github.io/bootc/building/kernel-arguments.html
 *
 * @param files texts of `kargs.d` by path
 * @throws KvciError `bad-kargs-file`
 */
export function imageKargs(files: ReadonlyMap<string, string>, architecture: Architecture): readonly string[] {
  return [...files]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([path, text]) => {
      const { kargs, 'match-architectures': only } = parseKargs(path, text);
      return only === undefined || only.includes(MACHINES[architecture]) ? kargs : [];
    });
}

function parseKargs(path: string, text: string): z.output<typeof kargsSchema> {
  try {
    return kargsSchema.parse(parse(text));
  } catch (cause) {
    throw new KvciError('failed', 'bad-kargs-file', `/${path} of the image is no list of kernel arguments`, {
      hint: '"kvci image check" says what is wrong with it.',
      cause,
    });
  }
}
