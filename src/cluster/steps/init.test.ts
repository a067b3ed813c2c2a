import { describe, expect, it } from 'vitest';

import type { CommandResult } from '../../host/types.ts';
import type { NodeHandle } from '../../machine/types.ts';
import type { NodeState } from '../state.ts';
import { refuseLostControlPlane, resetNode, rotatable } from './init.ts';

const NEVER = new AbortController().signal;

/** A node on which these paths are there. */
function nodeWith(...paths: readonly string[]) {
  const ran: string[] = [];
  const run = (argv: readonly [string, ...string[]]): Promise<CommandResult> => {
    ran.push(argv.slice(0, 2).join(' '));
    const exitCode = argv[0] === 'test' && !argv.some((word) => paths.includes(word)) ? 1 : 0;
    return Promise.resolve({ argv, exitCode, stdout: '', stderr: '', ms: 0 });
  };
  return { handle: { name: 'node01', run } as unknown as NodeHandle, ran };
}

describe('what an ended run left of kubeadm', () => {
  it.each([
    ['certificates', '/etc/kubernetes/pki'],
    ['a kubelet that was let in', '/etc/kubernetes/kubelet.conf'],
    ["etcd's data on a volume whose container is gone", '/var/lib/etcd/member'],
    ["a kubelet's certificates on a volume whose container is gone", '/var/lib/kubelet/pki'],
  ])('%s is taken away', async (_what, path) => {
    const { handle, ran } = nodeWith(path);
    expect(await resetNode(handle, NEVER)).toBe(true);
    expect(ran).toContain('kubeadm reset');
  });

  it('of nothing is left alone', async () => {
    const { handle, ran } = nodeWith();
    expect(await resetNode(handle, NEVER)).toBe(false);
    expect(ran).not.toContain('kubeadm reset');
  });
});

describe('a cluster whose control planes', () => {
  const node = (role: NodeState['role'], joined: boolean): NodeState => ({ name: 'node01', index: 1, role, labels: {}, joined });
  const of = (...nodes: readonly NodeState[]) => ({ name: 'lab', nodes: [...nodes] });

  it('were members, and are gone, is not made anew over its workers', async () => {
    const { handle } = nodeWith();
    await expect(refuseLostControlPlane(of(node('control-plane', true), node('worker', true)), handle, NEVER)).rejects.toMatchObject({
      code: 'control-plane-lost',
      hint: expect.stringContaining('"kvci down lab"') as string,
    });
  });

  it.each([
    ['never were members', of(node('control-plane', false), node('worker', false)), []],
    ['are members', of(node('control-plane', true)), ['/etc/kubernetes/kvci-member']],
  ])('%s comes up', async (_what, state, paths) => {
    await refuseLostControlPlane(state, nodeWith(...paths).handle, NEVER);
  });
});

describe('the kubeconfig of kubelet', () => {
  const clusters = 'apiVersion: v1\nclusters:\n  - cluster:\n      server: https://192.168.66.101:6443\n    name: lab\n';

  it('names the file in which kubelet keeps its certificate', () => {
    const text = `${clusters}users:\n  - name: system:node:node01\n    user:\n      client-certificate-data: LS0=\n      client-key-data: LS0=\n`;
    const pem = '/var/lib/kubelet/pki/kubelet-client-current.pem';
    expect(rotatable(text)).toBe(
      `${clusters}users:\n  - name: system:node:node01\n    user:\n      client-certificate: ${pem}\n      client-key: ${pem}\n`,
    );
  });

  it('without a user is refused', () => {
    expect(() => rotatable(clusters)).toThrow(/names no user/);
  });
});
