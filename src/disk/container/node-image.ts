import { parse } from 'yaml';
import { z } from 'zod';

import { KvciError, messageOf } from '../../core/errors.ts';
import { followPath, imageTree, readFile } from '../../oci/image.ts';
import type { Tree } from '../../oci/tree.ts';
import type { SourceImage } from '../types.ts';

/** What of an image's files decides whether the converters in containers can do something with it. */
export interface NodeImageFacts {
  /** Programs that the converters run in a container of the image (contract D2). */
  readonly bootc: boolean;
  readonly lsinitrd: boolean;
  /** Type of the root file system that the image's own disk.yaml asks for, over what anybody says (contract D6). */
  readonly rootFilesystem: string | undefined;
  /** Bytes of its files. */
  readonly unpacked: number;
}

/** Where an image may say how its disk is laid out; the first that is there counts (contract D6). */
const DISK_YAML = ['usr/lib/image-builder/bootc/disk.yaml', 'usr/lib/bootc-image-builder/disk.yaml'] as const;

/** Reads every layer once. */
export async function nodeImageFacts({ image, layout }: SourceImage): Promise<NodeImageFacts> {
  const tree = await imageTree(layout, image);
  const place = DISK_YAML.find((path) => followPath(tree, path) !== undefined);
  const text = place === undefined ? undefined : await readFile(layout, tree, place);
  return {
    bootc: isProgram(tree, 'bootc'),
    lsinitrd: isProgram(tree, 'lsinitrd'),
    rootFilesystem: text === undefined ? undefined : rootFilesystemOf(text.toString()),
    unpacked: unpackedSize(tree),
  };
}

/** Hard links count once. */
function unpackedSize(tree: Tree): number {
  return [...tree.nodes.values()].reduce((sum, { type, size, links, path }) => sum + (type === 'file' && links[0] === path ? size : 0), 0);
}

function isProgram(tree: Tree, name: string): boolean {
  return ['usr/bin', 'usr/sbin', 'usr/local/bin'].some((folder) => followPath(tree, `${folder}/${name}`)?.type === 'file');
}

const diskYamlSchema = z.looseObject({
  partition_table: z.looseObject({
    partitions: z.array(
      z.looseObject({ payload: z.looseObject({ mountpoint: z.string().optional(), type: z.string().optional() }).optional() }),
    ),
  }),
});

/**
 * The type of the file system that a disk.yaml puts at `/`; undefined when it leaves that to others.
 *
 * @throws KvciError `bad-disk-yaml`
 */
export function rootFilesystemOf(text: string): string | undefined {
  let yaml: unknown;
  try {
    yaml = parse(text);
  } catch (error) {
    throw new KvciError('failed', 'bad-disk-yaml', `the image's own disk.yaml cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const { data } = diskYamlSchema.safeParse(yaml);
  return data?.partition_table.partitions.find(({ payload }) => payload?.mountpoint === '/')?.payload?.type;
}
