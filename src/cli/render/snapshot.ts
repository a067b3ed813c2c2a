import { countNodes } from '../../cluster/count-nodes.ts';
import { formatSize } from '../../core/sizes.ts';
import type { SnapshotRecord } from '../../snapshot/record.ts';
import { formatDuration } from '../progress/format.ts';
import type { ListedSnapshot, StoredSnapshot } from '../services.ts';
import { facts, table } from './table.ts';

/** A snapshot as scripts see it: no keys. */
export function snapshotDocument({ name, id, createdAt, key, imported, cluster, machines, files }: SnapshotRecord): object {
  const { qemu, architecture, pausedMs } = machines;
  return {
    name,
    id,
    createdAt,
    ...(key === undefined ? {} : { key }),
    ...(imported === true ? { imported } : {}),
    cluster: cluster.name,
    kubernetes: cluster.kubernetes,
    image: cluster.image,
    nodes: cluster.nodes.map((node) => {
      const { extents: _extents, ...machine } = machines.machines[node.name] ?? { extents: [] };
      return { name: node.name, role: node.role, ...machine };
    }),
    needs: { qemu, architecture, files: machines.files },
    pausedMs,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
  };
}

export function listedSnapshots(all: readonly ListedSnapshot[]): object {
  return { snapshots: all.map((one) => ('record' in one ? { ...snapshotDocument(one.record), size: one.size } : one)) };
}

export function formatSnapshots(all: readonly ListedSnapshot[]): string {
  if (all.length === 0) return 'There is no snapshot; make one with "kvci snapshot save".';
  const rows = all.map((one) => {
    if (!('record' in one)) return [one.name, 'unreadable'];
    const { name, cluster, createdAt } = one.record;
    return [
      name,
      cluster.name,
      cluster.kubernetes,
      countNodes(cluster.nodes),
      formatSize(one.size),
      createdAt.slice(0, 16).replace('T', ' '),
    ];
  });
  const problems = all.flatMap((one) => ('record' in one ? [] : [one.problem]));
  return [
    table(['NAME', 'CLUSTER', 'KUBERNETES', 'NODES', 'SIZE', 'CREATED'], rows),
    ...(problems.length === 0 ? [] : ['', ...problems]),
  ].join('\n');
}

export function formatSnapshot({ record, size }: StoredSnapshot): string {
  const { name, createdAt, cluster, machines } = record;
  const rows = Object.entries(machines.machines).map(([node, { accelerator, board, cpuModel, firmware, cpus, memory }]) => [
    node,
    accelerator,
    board,
    cpuModel,
    firmware,
    String(cpus),
    formatSize(memory),
  ]);
  return [
    facts([
      ['Snapshot', `${name} of ${cluster.name}, ${createdAt.slice(0, 16).replace('T', ' ')}`],
      ['Cluster', `Kubernetes ${cluster.kubernetes}, ${countNodes(cluster.nodes)}, ${cluster.families.join(' and ')}`],
      ['Image', cluster.image.name],
      ['Size', `${formatSize(size)} beside the disk of the image`],
      ['Stood still', formatDuration(machines.pausedMs)],
      ['Needs', machines.qemu],
    ]),
    '',
    table(['NODE', 'ACCELERATOR', 'MACHINE', 'PROCESSOR', 'FIRMWARE', 'CPUS', 'MEMORY'], rows),
  ].join('\n');
}
