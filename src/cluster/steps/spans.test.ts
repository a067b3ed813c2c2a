import { describe, expect, it } from 'vitest';

import type { Event } from '../../core/events.ts';
import type { ClusterView } from '../../host/kubernetes.ts';
import { bootPhases } from './boot-phases.ts';
import { readinessWatch } from './readiness.ts';

describe('bootPhases', () => {
  it('reads what systemd says, without units that a node does not have', () => {
    const manager = 'UserspaceTimestamp=Mon 2026-11-23 07:10:17.599854 UTC\nFinishTimestamp=Mon 2026-11-23 07:10:23.594260 UTC\n';
    const units = [
      'Id=containerd.service\nInactiveExitTimestamp=Mon 2026-11-23 07:10:19.768738 UTC\nActiveEnterTimestamp=Mon 2026-11-23 07:10:20.037952 UTC\n',
      'Id=crio.service\nInactiveExitTimestamp=\nActiveEnterTimestamp=\n',
    ].join('\n');
    expect(bootPhases(manager, units)).toEqual([
      { title: 'systemd', from: Date.UTC(2026, 10, 23, 7, 10, 17, 599), to: Date.UTC(2026, 10, 23, 7, 10, 23, 594) },
      { title: 'containerd', from: Date.UTC(2026, 10, 23, 7, 10, 19, 768), to: Date.UTC(2026, 10, 23, 7, 10, 20, 37) },
    ]);
  });

  it('a boot that is not at its end has no phases', () => {
    expect(bootPhases('UserspaceTimestamp=Mon 2026-11-23 07:10:17.599854 UTC\nFinishTimestamp=\n', '')).toEqual([]);
  });
});

describe('readinessWatch', () => {
  it('tells once of each, and nothing of what was Ready when it was first seen', () => {
    let now = 0;
    const told: Event[] = [];
    const see = readinessWatch({ now: () => now, monotonic: () => now, wait: () => Promise.resolve() }, (event) => told.push(event));
    const view = (node: boolean, pod: boolean): ClusterView => ({
      nodes: [
        { name: 'node01', ready: true, message: '', labels: {}, addresses: [], version: '' },
        { name: 'node02', ready: node, message: '', labels: {}, addresses: [], version: '' },
      ],
      pods: [
        {
          namespace: 'kube-system',
          name: 'dns',
          node: 'node01',
          ready: pod,
          done: false,
          message: '',
          restarts: 0,
          owner: 'ReplicaSet',
          labels: {},
        },
      ],
    });
    for (const [at, node, pod] of [
      [100, false, false],
      [200, true, false],
      [300, true, true],
      [400, false, false],
      [500, true, true],
    ] as const) {
      now = at;
      see(view(node, pod));
    }
    expect(told).toEqual([
      { type: 'span', title: 'node02 Ready', node: 'node02', from: 100, to: 200 },
      { type: 'span', title: 'pod dns', node: 'node01', from: 100, to: 300 },
    ]);
  });
});
