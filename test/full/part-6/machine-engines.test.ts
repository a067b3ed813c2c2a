import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hexOf } from '../../../src/core/digest.ts';
import { type EngineMachine, engineMachineProblem, startEngineMachine } from '../../fixtures/engine-machine.ts';
import { wellDone } from '../../fixtures/kvci-calls.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage, type TestNodeImage } from '../../fixtures/node-image.ts';
import { ownProgram, pauseImageOf } from '../../fixtures/own-program-pods.ts';
import { sshProblem } from '../../fixtures/ssh-server.ts';

/*
 * Engines of a real machine of their own, Docker and Podman, with all control group controllers: what nodes are only there, limits, quality
 * of service and eviction. How a connection that is disturbed is met again, remote-nodes.test.ts shows. Emulated it takes an hour.
 */

const NAME = 'kvci-machine-engine';
const MEMORY = 3 * 2 ** 30;
const CPUS = 1.5;
/** One after the other on busy cores. */
const TIMEOUT = ['--timeout', '40m'];

/** A kubelet measures what a node uses as its control group does, without pages of files that it has not read lately. */
const EVICT_BELOW = `used=$(cat /sys/fs/cgroup/memory.current)
total=$(awk '/^MemTotal/ { print $2 * 1024 }' /proc/meminfo)
unread=$(awk '/^inactive_file/ { print $2 }' /sys/fs/cgroup/memory.stat)
cat >/etc/kubernetes/kubelet.conf.d/90-test.conf <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard: { memory.available: "$((total - used + unread - 256 * 1024 * 1024))" }
END
systemctl restart kubelet`;

interface Limited {
  readonly cpu?: string;
  readonly memory?: string;
}

const skip = isMissing('root', engineMachineProblem()) || isMissing('ssh', sshProblem());

describe.skipIf(skip)('engines of a machine', () => {
  let machine: EngineMachine;
  let image: TestNodeImage;
  let done: (...args: readonly string[]) => Promise<string>;

  beforeAll(async () => {
    image = await nodeImage('1.36');
    machine = await startEngineMachine();
    done = wellDone(machine.kvci);
  });

  afterAll(async () => {
    await machine[Symbol.asyncDispose]();
  });

  const up = async (engine: string, ...more: readonly string[]): Promise<void> => {
    const asked = ['up', NAME, '--provider', 'kind', '--engine', engine, '--image', image.digest, ...TIMEOUT, ...more];
    await done(...asked, '--output', 'json');
  };
  const onNode = (script: string, ...args: readonly string[]): Promise<string> =>
    done('ssh', 'node01', '--cluster', NAME, '--', 'sh', '-ec', script, 'sh', ...args);
  const kubectl = (...args: readonly string[]): Promise<string> =>
    onNode('exec kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"', ...args);

  describe.each([
    { what: 'Docker', engine: () => machine.docker },
    { what: 'Podman', engine: () => machine.podman },
    { what: 'Podman without the rights of root', engine: () => machine.podmanOfUser },
  ])('$what, over ssh', ({ engine }) => {
    let pause: string;

    beforeAll(async () => {
      await up(engine(), '--cpus', String(CPUS), '--memory', String(MEMORY));
      pause = await pauseImageOf((...argv) => machine.kvci('ssh', 'node01', '--cluster', NAME, '--', ...argv));
    });

    afterAll(async () => {
      await done('down', NAME);
    });

    /** A pod that runs a script, and what it may take; without, it is the first to go. */
    const run = async (name: string, script: string, limits?: Limited, requests = limits): Promise<void> => {
      const { containers, volumes } = ownProgram(pause, script);
      const resources = limits === undefined ? {} : { limits, requests };
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name },
        spec: {
          nodeName: 'node01',
          restartPolicy: 'Never',
          terminationGracePeriodSeconds: 0,
          containers: [{ ...containers[0], resources }],
          volumes,
        },
      };
      await onNode('printf %s "$1" | kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f -', JSON.stringify(pod));
    };
    const until = (name: string, path: string, value: string): Promise<string> =>
      kubectl('wait', `--for=jsonpath={${path}}=${value}`, '--timeout=15m', `pod/${name}`);

    it('is Ready, and its node has what it was asked to have', async () => {
      expect(JSON.parse(await done('status', NAME, '--output', 'json'))).toMatchObject({ condition: 'ready', problems: [] });
      expect(await onNode('cat /run/kvci/container')).toBe('missing-controllers:\n');
      expect(await onNode('cat /sys/fs/cgroup/memory.max')).toBe(`${MEMORY}\n`);
      expect(await onNode('cat /sys/fs/cgroup/cpu.max')).toBe(`${CPUS * 100_000} 100000\n`);
    });

    it('keeps pods to their limits, each of its class', async () => {
      const own = '[ "$(cat /sys/fs/cgroup/memory.max) $(cat /sys/fs/cgroup/cpu.max)" =';
      await run('guaranteed', `${own} "67108864 20000 100000" ]`, { cpu: '200m', memory: '64Mi' });
      await run('burstable', `${own} "67108864 20000 100000" ]`, { cpu: '200m', memory: '64Mi' }, { cpu: '100m' });
      await run('besteffort', `${own} "max max 100000" ]`);
      for (const [name, qos] of [
        ['guaranteed', 'Guaranteed'],
        ['burstable', 'Burstable'],
        ['besteffort', 'BestEffort'],
      ] as const) {
        await until(name, '.status.phase', 'Succeeded');
        expect(await kubectl('get', 'pod', name, '--output', 'jsonpath={.status.qosClass}')).toBe(qos);
      }
    });

    it('ends a pod that takes more memory than it may', async () => {
      await run('greedy', 'head -c 200M /dev/zero | tail', { cpu: '500m', memory: '64Mi' });
      await until('greedy', '.status.containerStatuses[0].state.terminated.reason', 'OOMKilled');
    });

    it('evicts first who asked for nothing, where memory gets scarce', async () => {
      // What is scarce is a matter of what is called so: more than is free once the victim holds what it does, and free again without it.
      await onNode(EVICT_BELOW);
      await run('victim', 'dd if=/dev/zero bs=512M count=1 | sleep infinity');
      await until('victim', '.status.reason', 'Evicted');
      expect(await kubectl('get', 'pod', 'victim', '--output', 'jsonpath={.status.message}')).toContain('memory');
    });
  });

  it('Docker, over TCP with TLS, has a cluster Ready', async () => {
    await up(machine.dockerByTls);
    expect(JSON.parse(await done('status', NAME, '--output', 'json'))).toMatchObject({ condition: 'ready', problems: [] });
    await done('down', NAME);
  });

  it("upstream's kind has a Ready cluster of the image there", async () => {
    // The engine has it from the clusters before.
    const node = `localhost/kvci/node:${hexOf(image.digest)}`;
    const config = await done('kind', 'config', image.digest, '--image', node, '--nodes', '2');
    await machine.inside(`cat >/root/kind.yaml <<'END'\n${config}\nEND\nkind create cluster --name far --config /root/kind.yaml`);
    const there = (words: string): Promise<string> =>
      machine.inside(`docker exec far-control-plane kubectl --kubeconfig /etc/kubernetes/admin.conf ${words}`);
    try {
      await there('wait --for=condition=Ready nodes --all --timeout=30m');
      await there('wait --for=condition=Ready pods --all --namespace kube-system --timeout=30m');
      await machine.inside('kind export logs /root/logs --name far && grep -q kubelet /root/logs/far-worker/journal.log');
    } finally {
      await machine.inside('kind delete cluster --name far');
    }
  });
});
