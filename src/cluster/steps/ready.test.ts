import { describe, expect, it } from 'vitest';

import { observeNode, observePod } from '../../host/kubernetes-view.ts';
import type { ClusterView } from '../../host/kubernetes.ts';
import { notReady } from './ready.ts';

const node = (name: string, status: string, message = 'm') =>
  observeNode({ metadata: { name }, status: { conditions: [{ type: 'Ready', status, message }] } });

const pod = (name: string, ready: boolean, change: object = {}) =>
  observePod({
    metadata: { name, namespace: 'kube-system' },
    spec: { nodeName: 'node01' },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', message: 'containers not ready' }],
      ...change,
    },
  });

describe('what keeps a cluster from being Ready', () => {
  it.each<[string, ClusterView, readonly string[]]>([
    ['nothing', { nodes: [node('node01', 'True')], pods: [pod('dns', true)] }, []],
    ['a node that has not joined', { nodes: [], pods: [] }, ['node node01: has not joined']],
    [
      'a node and its reason',
      { nodes: [node('node01', 'False', 'network plugin is not ready')], pods: [] },
      ['node node01: network plugin is not ready'],
    ],
    [
      'a pod and its reason',
      {
        nodes: [node('node01', 'True')],
        pods: [
          pod('dns', false, {
            containerStatuses: [{ restartCount: 3, state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } } }],
          }),
        ],
      },
      ['pod kube-system/dns on node01: CrashLoopBackOff: back-off 10s'],
    ],
    ['not what has run to its end', { nodes: [node('node01', 'True')], pods: [pod('job', false, { phase: 'Succeeded' })] }, []],
    [
      'not what is of the users',
      {
        nodes: [node('node01', 'True')],
        pods: [observePod({ metadata: { name: 'web', namespace: 'default' }, status: { phase: 'Pending' } })],
      },
      [],
    ],
  ])('%s', (_what, view, problems) => {
    expect(notReady(view, ['node01'])).toEqual(problems);
  });
});
