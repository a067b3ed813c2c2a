import { describe, expect, it } from 'vitest';

import { mutationsFor } from '../../../test/e2e/image-check-mutations.ts';
import { MemoryTree } from '../../../test/fixtures/image-tree.ts';
import { goodNode } from '../../../test/fixtures/node-tree.ts';
import { checkTree, factsFor } from './check.ts';
import { FACT_GROUPS } from './types.ts';

const failedIds = async (tree: MemoryTree): Promise<string[]> =>
  (await checkTree(tree, FACT_GROUPS)).facts.filter(({ status }) => status === 'failed').map(({ id }) => id);

describe('image check', () => {
  it('passes on a good node', async () => {
    const report = await checkTree(goodNode(), FACT_GROUPS);
    expect(report.facts.flatMap(({ id, findings }) => findings.map((finding) => ({ id, ...finding })))).toEqual([]);
    expect(report.passed).toBe(true);
  });

  it.each(mutationsFor(goodNode()))('$fact: $title', async ({ fact, mutate }) => {
    const tree = MemoryTree.over(goodNode());
    mutate(tree);
    expect(await failedIds(tree)).toEqual([fact]);
  });

  it('has a mutation for every fact, and each fact its own id', () => {
    const ids = factsFor(FACT_GROUPS).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(mutationsFor(goodNode()).map(({ fact }) => fact))).toEqual(new Set(ids));
  });

  it('asks for a group only when it is required', () => {
    expect(factsFor([]).map(({ id }) => id)).not.toContain('kubevirt-modules');
    expect(factsFor(['kubevirt']).map(({ id }) => id)).toContain('kubevirt-modules');
  });

  it('finds all problems at once, as JSON', async () => {
    const tree = goodNode().file('boot/vmlinuz', 'x').file('etc/hostname', 'node01\n').remove('usr/bin/kubectl');
    const report = await checkTree(tree);
    const failed = report.facts.filter(({ status }) => status === 'failed').map(({ id, findings }) => ({ id, findings }));
    expect(report.passed).toBe(false);
    expect(JSON.parse(JSON.stringify(failed))).toEqual([
      { id: 'boot-empty', findings: [{ message: 'must not be in the image', path: '/boot/vmlinuz' }] },
      { id: 'hostname', findings: [{ message: 'gives every node the same name', path: '/etc/hostname' }] },
      { id: 'kubernetes-binaries', findings: [{ message: 'there is no kubectl', path: '/usr/bin/kubectl' }] },
    ]);
  });

  it('holds for a tree whose configuration lies in /usr/etc', async () => {
    const good = goodNode();
    const moved = new MemoryTree(good.config);
    for (const [path, entry] of good.nodes) {
      const to = path.replace(/^etc(\/|$)/, 'usr/etc$1');
      if (to === '.') continue;
      if (entry.type === 'directory') moved.directory(to, entry.mode);
      else if (entry.type === 'symlink') moved.link(to, entry.path === 'etc/os-release' ? '../lib/os-release' : entry.linkname!);
      else moved.file(to, good.bytes(path), entry.mode);
    }
    expect(await failedIds(moved)).toEqual([]);
  });
});
