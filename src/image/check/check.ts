import type { TreeEntry } from '../../oci/types.ts';
import { FACTS } from './facts.ts';
import { imageSizes } from './sizes.ts';
import type { CheckReport, Fact, FactGroup, FactResult, ImageTree } from './types.ts';
import { ImageView } from './view.ts';

/** The facts of every node image and those of the groups asked for. */
export function factsFor(groups: readonly FactGroup[]): readonly Fact[] {
  return FACTS.filter(({ group }) => group === undefined || groups.includes(group));
}

/** Larger files are not configuration: of them only the initramfs is read. */
const KEPT_BYTES = 4 * 1024 * 1024;

const READS = [...new Set(FACTS.flatMap(({ reads }) => reads ?? []))];

/** Whether some fact reads the content of this file: what a pass over the layers has to keep. */
export function isRead({ path, size }: Pick<TreeEntry, 'path' | 'size'>): boolean {
  const name = path.replace(/^usr\/etc\//, 'etc/');
  return (size <= KEPT_BYTES || name.endsWith('/initramfs.img')) && READS.some((pattern) => pattern.test(name));
}

/** Asks an image for all facts; finds all problems at once and never throws for one. */
export async function checkTree(tree: ImageTree, groups: readonly FactGroup[] = []): Promise<CheckReport> {
  const image = new ImageView(tree);
  const facts: FactResult[] = [];
  for (const fact of factsFor(groups)) {
    const findings = [...(await fact.check(image))];
    facts.push({ id: fact.id, title: fact.title, status: findings.length === 0 ? 'passed' : 'failed', findings });
  }
  return { passed: facts.every(({ status }) => status === 'passed'), facts, sizes: imageSizes(tree) };
}
